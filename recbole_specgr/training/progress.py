"""How far a stage has come: plain data that a checkpoint holds and the result record reports."""

from dataclasses import dataclass, field
from typing import Any

from recbole.utils import early_stopping

LATE = 0.9  # of the epochs that a stage may have: a best validation after these may not be the best there is


@dataclass
class StageProgress:
    """Where a stage stands.

    Attributes:
        epoch: epochs that are finished.
        step: steps of the epoch after them that are done, of all processes together.
        partial: what the meter has counted in these steps.
        stalls: validations since the best one.
        best_epoch: 1-based epoch of the best validation; None before the first.
        best_score, best_result: its valid_metric and all its metrics.
        stopped: early stopping ended the stage, or made its learning rate decay towards the end.
        limit: epochs that it may have at most.
        last_epoch: the epoch that it ends with, once its learning rate decays towards the end.
        done: the stage is over and its best parameters are in the model.
        rows, seconds: training rows and the time they took, validation not included.
        history: one entry an epoch: losses, learning rate, seconds, and metrics where it was validated.
    """

    stage: str
    epoch: int = 0
    step: int = 0
    partial: dict[str, Any] | None = None
    stalls: int = 0
    best_epoch: int | None = None
    best_score: float | None = None
    best_result: dict[str, float] | None = None
    stopped: bool = False
    limit: int = 0
    last_epoch: int | None = None
    done: bool = False
    rows: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """No epoch is left to train."""
        if self.last_epoch is not None:
            return self.epoch >= self.last_epoch
        return self.stopped or self.epoch >= self.limit

    @property
    def stopped_by(self) -> str | None:
        """`patience` or `limit`; None where nothing was trained."""
        if not self.epoch:
            return None
        return "patience" if self.stopped else "limit"

    @property
    def improving(self) -> bool | None:
        """Whether more epochs might have helped: the limit stopped the stage, or the best validation lies in the last
        tenth of what the limit allowed. None where nothing was trained or validated."""
        if not self.epoch or self.best_epoch is None:
            return None
        return not self.stopped or self.best_epoch > LATE * self.limit

    def judge(self, score: float, result: dict[str, float], patience: int, bigger: bool) -> bool:
        """Take in the validation after `epoch`; True when it is the best so far."""
        if self.best_score is None:
            improved = True
        else:
            _, self.stalls, stopped, improved = early_stopping(
                score, self.best_score, self.stalls, max_step=patience, bigger=bigger
            )
            if self.last_epoch is None:
                self.stopped = stopped
        if improved:
            self.best_epoch, self.best_score, self.best_result, self.stalls = self.epoch, score, result, 0
        return improved
