"""How far a stage has come: plain data that a checkpoint holds and the result record reports."""

from dataclasses import dataclass, field
from typing import Any

from recbole.utils import early_stopping


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
        stopped: early stopping ended the stage.
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
    done: bool = False
    rows: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, score: float, result: dict[str, float], patience: int, bigger: bool) -> bool:
        """Take in the validation after `epoch`; True when it is the best so far."""
        if self.best_score is None:
            improved = True
        else:
            _, self.stalls, self.stopped, improved = early_stopping(
                score, self.best_score, self.stalls, max_step=patience, bigger=bigger
            )
        if improved:
            self.best_epoch, self.best_score, self.best_result, self.stalls = self.epoch, score, result, 0
        return improved
