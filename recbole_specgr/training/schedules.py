"""How the learning rate goes after its linear warm-up: the setting `schedule`.

============  ==========================================================================================
`cosine`      half a cosine down to 0 at the end of the epochs that the stage may have
`constant`    constant, then straight down to 0 over a last tenth of the epochs; it begins when patience is
              out, or when the limit comes near (warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395)
`plateau`     halved whenever a third of the patience went by without gain
============  ==========================================================================================

The course of the last two does not depend on how many epochs the stage may have. Each is a callable, step -> factor of
the learning rate. torch's LambdaLR keeps the `__dict__` of such a callable in checkpoints: what changes in it while it
is used. What the settings say is in slots instead, so that a run may be resumed with other settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from logging import getLogger

from recbole_specgr.training.progress import StageProgress

TAIL = 0.1  # of the epochs so far: how long `constant` decays
HALVINGS = 3  # of `plateau` within the patience


def warmup_in_steps(warmup: float, total: int) -> int:
    """The setting `warmup_steps` as a number of steps: below 1 it is a share of all.

    Args:
        total: steps that the stage may have.
    """
    return round(warmup * total) if 0 < warmup < 1 else int(warmup)


def warn_of_long_warmup(warmup: int, total: int, learning_rate: float) -> None:
    """Warn where most of a stage is warm-up, or all of it, so that its learning rate never gets off the ground.

    Args:
        warmup, total: steps of the warm-up, and those that the stage may have.
    """
    if not total or warmup <= total / 2:
        return
    what = "is reached late"
    if warmup >= total:
        what = f"is never reached, {learning_rate * total / (warmup + 1):.2g} is the most"
    getLogger().warning(
        f"[warmup_steps: {warmup}] is most of the {total} steps that this stage may have: [learning_rate: "
        f"{learning_rate:g}] {what}. Give fewer, or a share of the steps such as --warmup_steps=0.05."
    )


@dataclass(slots=True)
class Schedule:
    """A linear warm-up, and then a constant learning rate.

    Attributes:
        warmup: steps of the warm-up.
        total: steps that the stage may have.
    """

    warmup: int
    total: int

    def __call__(self, step: int) -> float:
        return (step + 1) / (self.warmup + 1) if step < self.warmup else self.after_warmup(step)

    def after_warmup(self, step: int) -> float:
        return 1.0

    def plan_end(self, progress: StageProgress, step: int, steps: int) -> None:
        """Called before every epoch.

        Args:
            step: steps that are done.
            steps: that an epoch has.
        """

    def after_validation(self, progress: StageProgress, patience: int) -> None:
        """Called after every validation.

        Args:
            patience: validations without gain before the stage ends.
        """


class Cosine(Schedule):
    def after_warmup(self, step: int) -> float:
        progress = (step - self.warmup) / max(1, self.total - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass
class Constant(Schedule):
    """
    Attributes:
        decay_from, decay_to: the steps at which the decay begins and ends, once it is planned.
    """

    decay_from: int | None = None
    decay_to: int = 0

    def __call__(self, step: int) -> float:
        factor = super().__call__(step)
        if self.decay_from is None or step < self.decay_from:
            return factor
        return factor * max(0.0, (self.decay_to - step) / (self.decay_to - self.decay_from))

    def plan_end(self, progress: StageProgress, step: int, steps: int) -> None:
        tail = max(1, round(TAIL * progress.epoch))
        near = progress.epoch + tail >= progress.limit
        if progress.last_epoch is not None or progress.epoch >= progress.limit or not (progress.stopped or near):
            return
        progress.last_epoch = min(progress.limit, progress.epoch + tail)
        self.decay_from, self.decay_to = step, step + (progress.last_epoch - progress.epoch) * steps


@dataclass
class Plateau(Schedule):
    """
    Attributes:
        factor: what the halvings have left.
    """

    factor: float = 1.0

    def after_warmup(self, step: int) -> float:
        return self.factor

    def after_validation(self, progress: StageProgress, patience: int) -> None:
        if progress.stalls and progress.stalls % max(1, patience // HALVINGS) == 0:
            self.factor /= 2


SCHEDULES: dict[str, type[Schedule]] = {"cosine": Cosine, "constant": Constant, "plateau": Plateau}
