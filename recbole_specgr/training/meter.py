"""The progress of one epoch: mean losses by name, rows and tokens a second, a bar."""

import math
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from recbole_specgr.system.processes import mean_over_processes
from recbole_specgr.system.terminal import terminal_width
from recbole_specgr.training.memory import memory_gb

REFRESH = 0.5  # seconds between two looks at the losses; each waits for the device
BAR = "{desc} {percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt}{postfix}"  # in tqdm's terms
BAR_WIDTH = len(" 100%|          | /, ")  # of BAR, without what its names stand for
LEAVE_OUT = ("tokens", "learning rate", "samples")  # in this order, where the line is too long


class EpochMeter:
    """Counts the steps of an epoch and shows them.

    Args:
        title: what stands before the bar.
        steps: expected number of steps.
        show: draw a bar, if this is a terminal.
        processes: that read as many tokens as this one.
        steps_after: of the stage, after this epoch.
        state: what `state` returned in the middle of the epoch.
    """

    def __init__(
        self,
        title: str,
        steps: int,
        show: bool,
        processes: int = 1,
        steps_after: int = 0,
        state: dict[str, Any] | None = None,
    ):
        self.rows = self.steps = 0
        self.tokens: int | Tensor = 0
        self.seconds = 0.0
        self.sums: dict[str, Tensor] = {}
        self._before = 0.0  # seconds until the interruption
        if state:
            self.rows, self.steps, self.tokens = state["rows"], state["steps"], state["tokens"]
            self.sums, self._before = dict(state["sums"]), state["seconds"]
        self._processes, self._steps_after, self._total = processes, steps_after, steps
        self._bar = tqdm(
            desc=title,
            total=steps,
            initial=self.steps,
            unit="step",
            leave=False,
            bar_format=BAR,
            disable=None if show else True,
            dynamic_ncols=True,
        )
        self._started = self._shown = perf_counter()

    def add(self, losses: dict[str, Tensor], rows: int, learning_rate: float, tokens: int | Tensor = 0) -> None:
        """Count one step: its losses by name, its rows in all processes, the tokens that the model read in this one."""
        self.rows, self.steps, self.tokens = self.rows + rows, self.steps + 1, self.tokens + tokens
        for name, loss in losses.items():
            loss = loss.detach().reshape(())  # RecBole's EmbLoss makes it a vector of one
            loss = loss.to(torch.promote_types(loss.dtype, torch.float32))
            self.sums[name] = self.sums[name].to(loss) + loss if name in self.sums else loss
        self._bar.update()
        now = perf_counter()
        if not self._bar.disable and now - self._shown > REFRESH:
            self._shown = now
            room = terminal_width() - BAR_WIDTH - len(self._bar.desc or "") - 2 * len(str(self._total))
            self._bar.set_postfix_str(self._line(next(iter(losses.values())).device, learning_rate, room))

    def _line(self, device: torch.device, learning_rate: float, room: float = math.inf) -> str:
        """What stands behind the bar.

        Args:
            room: characters there are. Loss, memory and time to go stay; of the rest the least important goes first.
        """
        left = (self._total - self.steps + self._steps_after) * self._elapsed() / self.steps
        own = (torch.stack(list(self.sums.values())) / self.steps).tolist()
        means = _with_total(dict(zip(self.sums, own)))
        parts = {
            "loss": describe(means),
            "learning rate": f"lr {learning_rate:.1e}",
            "samples": f"{self.rate():,.0f} samples/s",
            "tokens": f"{self.token_rate():,.0f} tokens/s",
            "memory": f"{memory_gb(device):.1f} GB",
            "left": f"{tqdm.format_interval(left)} to go",
        }
        for name in LEAVE_OUT:
            if len("  ".join(parts.values())) > room:
                del parts[name]
        if len("  ".join(parts.values())) > room:
            parts["loss"] = describe({"loss": means["loss"]})
        return "  ".join(parts.values())

    def close(self) -> None:
        """End the epoch and take the bar off the screen."""
        self.seconds = self.seconds or self._elapsed()
        self._bar.close()

    def state(self) -> dict[str, Any]:
        """Plain data from which any number of processes goes on in the middle of the epoch. Every process must ask: the
        sums of its losses and its tokens are the means over all of them."""
        tokens = mean_over_processes(torch.tensor(int(self.tokens), dtype=torch.float64))
        return {
            "rows": self.rows,
            "steps": self.steps,
            "tokens": round(float(tokens)),
            "sums": {name: mean_over_processes(value.cpu()) for name, value in self.sums.items()},
            "seconds": self._elapsed(),
        }

    def means(self) -> dict[str, float]:
        """Mean of each loss over the steps and the processes, all of which must ask; `loss` is their sum.

        Raises:
            FloatingPointError: a loss is not a finite number.
        """
        if not self.steps:
            return {}
        values = mean_over_processes(torch.stack(list(self.sums.values())).cpu() / self.steps).tolist()
        means = dict(zip(self.sums, values))
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(f"{' and '.join(bad)} became {means[bad[0]]}")
        return _with_total(means)

    def rate(self) -> float:
        """Rows a second of all processes."""
        return self.rows / max(self.seconds or self._elapsed(), 1e-9)

    def token_rate(self) -> float:
        """Tokens a second of all processes."""
        return int(self.tokens) * self._processes / max(self.seconds or self._elapsed(), 1e-9)

    def _elapsed(self) -> float:
        return self._before + perf_counter() - self._started


def named_losses(losses: Tensor | tuple[Tensor, ...] | dict[str, Tensor]) -> dict[str, Tensor]:
    """What a model's `calculate_loss` returned, by name."""
    if isinstance(losses, dict):
        return losses
    if isinstance(losses, tuple):
        return {f"part{number}": loss for number, loss in enumerate(losses, 1)}
    return {"loss": losses}


def describe(means: dict[str, float]) -> str:
    """`loss 3.21 (generation 2.90, contrastive 0.31)`; one part alone is the loss."""
    total, *parts = (f"{name.removeprefix('loss_')} {value:.4g}" for name, value in means.items())
    return f"{total} ({', '.join(parts)})" if len(parts) > 1 else total


def _with_total(means: dict[str, float]) -> dict[str, float]:
    return means if list(means) == ["loss"] else {"loss": sum(means.values()), **means}
