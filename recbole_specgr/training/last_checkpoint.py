"""`last.pth`, where a run stands: what it holds, when it is written, and how training goes on from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch
from recbole.config import Config
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model, save_checkpoint
from recbole_specgr.runs.folder import LAST
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import asked
from recbole_specgr.system.processes import any_process, from_all_processes
from recbole_specgr.system.sharded_state import load_optimizer
from recbole_specgr.training.generators import generator_states, restore_generators
from recbole_specgr.training.progress import StageProgress


class Trained(NamedTuple):
    """What the steps of a stage change. A model without parameters to train has the first alone."""

    model: nn.Module
    optimizer: Optimizer | None = None
    scheduler: LRScheduler | None = None
    scaler: GradScaler | None = None


class LastCheckpoint:
    """Writes and reads `last.pth`.

    It is written when a stage begins, after every epoch, every `checkpoint_steps` steps and `checkpoint_minutes`
    minutes of an epoch, and when a termination was requested. It holds everything that the next step depends on, the
    state of all generators of random numbers included, so that a resumed run ends like one that was never interrupted,
    bit for bit on a CPU.

    Args:
        run_dir: where it is written.
    """

    def __init__(self, run_dir: Path, config: Config) -> None:
        self.file, self.config = run_dir / LAST, config
        self._read: dict[str, Any] | None = None
        self._written_at = monotonic()

    # ---- writing ---------------------------------------------------------------------------------------------------

    def after_step(self, step: int, steps: int) -> tuple[bool, bool]:
        """Whether a termination was requested, and whether it is time to write in the middle of an epoch.

        Every process must ask after each step, and all get the same answer.

        Args:
            step: of the epoch, from 1.
            steps: that the epoch has.
        """
        every, minutes = self.config["checkpoint_steps"], self.config["checkpoint_minutes"]
        late = bool(minutes) and not self.config["rank"] and monotonic() - self._written_at > 60 * minutes
        termination_requested, late = any_process(asked(), late)
        return termination_requested, step < steps and (late or (bool(every) and step % every == 0))

    def write(self, progress: Iterable[StageProgress], trained: Trained) -> None:
        """Write where all stages stand. Every process must call it; the first one writes.

        Raises:
            UserError: the folder is gone, or the disk does not take it.
        """
        save_checkpoint(
            self.file,
            trained.model,
            writes=not self.config["rank"],
            stages=[asdict(stage) for stage in progress],
            optimizer=trained.optimizer.state_dict() if trained.optimizer else None,
            scheduler=trained.scheduler.state_dict() if trained.scheduler else None,
            scaler=trained.scaler.state_dict() if trained.scaler else None,
            generators=from_all_processes(generator_states(self.config["device"])),
        )
        self._written_at = monotonic()

    # ---- reading ---------------------------------------------------------------------------------------------------

    def read(self, file: Path, stages: Iterable[str]) -> dict[str, StageProgress]:
        """Where the stages stand that a `last.pth` knows; `continued` gives the rest of it.

        Args:
            stages: names of the run's stages, in their order.

        Raises:
            UserError: it is not the state of these stages.
        """
        content = load_checkpoint(file)  # not on the GPU: Adam keeps its step counts on the CPU
        progress = [StageProgress(**stage) for stage in content.get("stages", [])]
        known = list(stages)[: len(progress)]
        if not progress or [stage.stage for stage in progress] != known:
            raise UserError(f"{file} can't be resumed: it holds no training state of the stages {known}.")
        self._read = {**content, "path": file}
        return {stage.stage: stage for stage in progress}

    def continued(self, progress: StageProgress) -> Continuation | None:
        """How the stage goes on, when it is the one that was interrupted. What was read is given once."""
        content, self._read = self._read, None
        if content is None or progress.stage not in (stage["stage"] for stage in content["stages"]):
            return None
        return Continuation(content, progress, self.config)


class Continuation:
    """How an interrupted stage goes on. First its parameters are restored, then what was built around them."""

    def __init__(self, content: dict[str, Any], progress: StageProgress, config: Config) -> None:
        self.content, self.progress, self.config = content, progress, config

    def restore_parameters(self, model: nn.Module) -> None:
        """Raises UserError when they are of another model."""
        restore_model(model, self.content, self.content["path"])

    def restore_steps(self, trained: Trained) -> None:
        """Put optimiser, schedule and scaler back to where they were."""
        if trained.optimizer:
            load_optimizer(trained.optimizer, self.content["optimizer"])
        if trained.scheduler:
            trained.scheduler.load_state_dict(self.content["scheduler"])
        if trained.scaler:
            trained.scaler.load_state_dict(self.content["scaler"])
        stage, epoch, step = self.progress.stage, self.progress.epoch, self.progress.step
        where = f"epoch {epoch + 1}, step {step}" if step else f"epoch {epoch}"
        getLogger().info(f"Resumed stage {stage} after {where}.")

    @torch.no_grad()
    def restore_buffers(self, model: nn.Module) -> None:
        """Put back what an epoch that goes on in its middle began with, such as vectors of the items that are constants
        of its loss. A model that makes these anew for every epoch forgets them in `train()`.

        Args:
            model: that is trained, after `train()`.
        """
        state = self.content["state_dict"] if self.progress.step else {}
        for name, buffer in model.named_buffers():
            if name in state:
                buffer.copy_(state[name])

    def restore_generators(self) -> bool:
        """Let random numbers go on in the middle of the epoch. False, and nothing is done, where this process has no
        state to go on with: between two epochs, or when another number of processes was interrupted."""
        states = self.content["generators"]
        if not self.progress.step or len(states) != self.config["world_size"]:
            return False
        restore_generators(states[self.config["rank"]], self.config["device"])
        return True
