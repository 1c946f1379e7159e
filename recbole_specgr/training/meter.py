"""The progress of one epoch: mean losses by name, rows a second, a bar."""

import math
from time import perf_counter

import torch
from torch import Tensor
from tqdm import tqdm

REFRESH = 0.5  # seconds between two looks at the losses; each waits for the device


class EpochMeter:
    """Counts the steps of an epoch and shows them.

    Args:
        title: what stands before the bar.
        steps: expected number of steps.
        show: draw a bar, if this is a terminal.
    """

    def __init__(self, title: str, steps: int, show: bool):
        self.rows = self.steps = 0
        self.seconds = 0.0
        self.sums: dict[str, Tensor] = {}
        self._bar = tqdm(
            desc=title, total=steps, unit="step", leave=False, disable=None if show else True, dynamic_ncols=True
        )
        self._started = self._shown = perf_counter()

    def add(self, losses: dict[str, Tensor], rows: int, learning_rate: float) -> None:
        """Count one step: its losses by name, its rows."""
        self.rows, self.steps = self.rows + rows, self.steps + 1
        for name, loss in losses.items():
            loss = loss.detach().float().reshape(())  # RecBole's EmbLoss makes it a vector of one
            self.sums[name] = self.sums[name] + loss if name in self.sums else loss
        self._bar.update()
        now = perf_counter()
        if now - self._shown > REFRESH:
            self._shown = now
            self._bar.set_postfix_str(f"{describe(self.means())}  lr {learning_rate:.1e}  {self.rate():,.0f} rows/s")

    def close(self) -> None:
        """End the epoch and take the bar off the screen."""
        self.seconds = self.seconds or perf_counter() - self._started
        self._bar.close()

    def means(self) -> dict[str, float]:
        """Mean of each loss over the steps; `loss` is their sum.

        Raises:
            FloatingPointError: a loss is not a finite number.
        """
        if not self.steps:
            return {}
        values = (torch.stack(list(self.sums.values())) / self.steps).tolist()
        means = dict(zip(self.sums, values))
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(f"{' and '.join(bad)} became {means[bad[0]]}")
        return means if list(means) == ["loss"] else {"loss": sum(values), **means}

    def rate(self) -> float:
        """Rows a second."""
        return self.rows / max(self.seconds or perf_counter() - self._started, 1e-9)


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
