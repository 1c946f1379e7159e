"""What one sees of training while it goes on: a line an epoch, the table of curves, tensorboard, wandb."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.utils import WandbLogger
from torch.utils.tensorboard import SummaryWriter

from recbole_specgr.training.curves import write_curves
from recbole_specgr.training.meter import describe
from recbole_specgr.training.progress import StageProgress


class EpochReports:
    """Reports every epoch of a run.

    Args:
        run_dir: where `curves.csv` and `tensorboard/` are written.
        leads: this process writes files.
        verbose: log a line an epoch.
    """

    def __init__(self, run_dir: Path, leads: bool, verbose: bool, wandb: WandbLogger) -> None:
        self.run_dir, self.leads, self.verbose, self.wandb = run_dir, leads, verbose, wandb
        self.tensorboard = SummaryWriter(run_dir / "tensorboard") if leads else None

    def add(self, stages: Iterable[StageProgress], progress: StageProgress, epochs: int, metric: str) -> None:
        """Report the last epoch of a stage.

        Args:
            stages: all stages that have begun, for the curves.
            progress: the stage.
            epochs: that it has at most.
            metric: name of the valid metric.
        """
        entry = progress.history[-1]
        if self.verbose:
            getLogger().info(_line(progress, entry, epochs, metric))
        try:
            if self.leads:
                write_curves(self.run_dir, stages)
            if self.tensorboard is not None:
                for name, value in entry.items():
                    self.tensorboard.add_scalar(f"{progress.stage}/{name}", value, progress.epoch)
        except OSError as error:  # a run can do without; the checkpoint that comes next says it when it can't
            getLogger().warning(f"The training curves could not be written: {error}")
        self.wandb.log_metrics({"train_step": progress.epoch, **entry}, head=progress.stage)

    def close(self) -> None:
        if self.tensorboard is not None:
            with suppress(OSError):  # of a disk that is full or gone, which has been said
                self.tensorboard.close()


def _line(progress: StageProgress, entry: dict[str, Any], epochs: int, metric: str) -> str:
    losses = {name: value for name, value in entry.items() if name.startswith("loss")}
    line = f"{progress.stage} {progress.epoch}/{epochs}  {describe(losses)}  "
    line += f"{entry['seconds']:.1f} s, {entry['rows_per_second']:,.0f} targets/s"
    if metric in entry:
        line += f"  {metric} {entry[metric]:.4f}"
        line += " *" if progress.best_epoch == progress.epoch else f" (best {progress.best_score:.4f})"
    return line
