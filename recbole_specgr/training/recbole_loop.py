"""What a stage needs of RecBole's own training loop: its batches, its epoch, its losses counted by our meter."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler

from recbole_specgr.settings.recbole_limits import within_recboles_limits
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.precisions import DTYPES
from recbole_specgr.training.meter import EpochMeter, named_losses
from recbole_specgr.training.mixin import TrainerMixin
from recbole_specgr.training.progress import StageProgress

# What RecBole's own epoch can do, by setting.
POSSIBLE = {
    "precision": ("fp32", "bf16"),
    "accumulation_steps": (1,),
    "parallel": ("ddp",),
    "train_on": ("rows",),
    "schedule": ("cosine",),  # which it does not read: its learning rate stays as it is
}


class RecBoleLoop(TrainerMixin):
    """Mixin over any RecBole trainer. Our own `Trainer` has another loop, and overrides most of it.

    Attributes:
        meter: counts the steps of the epoch that is trained.
    """

    meter: EpochMeter

    def __init__(self, config: Config, model: torch.nn.Module) -> None:
        distributed, config["single_spec"] = not config["single_spec"], True  # DDP is set up for each stage
        with _scratch_directory(), within_recboles_limits(config), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            super().__init__(config, model)
        config["single_spec"] = not distributed

    def _check_settings(self) -> None:
        """Raise UserError for what RecBole's own epoch can't do."""
        for key, possible in POSSIBLE.items():
            if self.config[key] not in possible:
                raise UserError(
                    f"[{key}: {self.config[key]}] is for the models of this package; {self.config['model']} is trained "
                    f"by RecBole's own loop. Take {' or '.join(map(str, possible))}."
                )

    def _loader(self, train_data: AbstractDataLoader, overrides: dict[str, Any]) -> Any:
        """The training batches of a stage with these settings of its own."""
        if "train_batch_size" in overrides:
            train_data = type(train_data)(self.config, train_data._dataset, train_data._sampler, train_data.shuffle)
        if (self.config["train_neg_sample_args"] or {}).get("dynamic"):
            train_data.get_model(self.model)
        return train_data

    def _shuffle(self, loader: Any, seed: int, epoch: int) -> None:
        """Give the batches of an epoch their order."""
        loader.generator.manual_seed(seed)
        if isinstance(loader.sampler, DistributedSampler):
            # RecBole's epoch says so, too, but too late for batches that are passed over on resuming, or made ahead.
            loader.sampler.set_epoch(epoch)

    def _batches_from(self, loader: Any, first: int) -> Iterator[Any]:
        """The batches of an epoch without the `first` ones. RecBole's loaders must make those, too."""
        batches = iter(loader)
        for _ in range(first):
            next(batches)
        return batches

    def _build_scheduler(self, total_steps: int) -> Any:
        """A learning rate scheduler, stepped by `_train_epoch`; RecBole's trainers have none."""
        return None

    def _plan_end(self, progress: StageProgress, steps: int) -> None:
        """Called before every epoch: a schedule may have the stage end otherwise than early stopping would.

        Args:
            steps: that an epoch has.
        """

    def _after_validation(self, progress: StageProgress) -> None:
        """Called after every validation, with what it led to in `progress`."""

    def _wrap_distributed(self) -> None:
        if not self.config["single_spec"]:
            devices = [self.device] if self.device.type == "cuda" else None
            self.distributed_model = DistributedDataParallel(self.model, device_ids=devices)

    @property
    def _module(self) -> torch.nn.Module:
        """What is trained: `model`, or another object in its place."""
        return self.model

    def _collect(self) -> None:
        """Have the parameters as they are now in `model`; another object may be trained."""

    def _train_epoch(
        self, train_data: Any, epoch_idx: int, loss_func: Callable | None = None, show_progress: bool = False
    ) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*GradScaler.*", category=FutureWarning)
            return super()._train_epoch(train_data, epoch_idx, self._metered(loss_func or self.model.calculate_loss))

    def _metered(self, loss_func: Callable) -> Callable:
        """`loss_func` in the configured precision, counted by the meter."""

        def counted(interaction: Interaction) -> Any:
            with self._precision():
                losses = loss_func(interaction)
            rows = len(interaction) * self.config["world_size"]  # RecBole's sampler gives all processes equally many
            self.meter.add(named_losses(losses), rows, self._learning_rate(), self.model.tokens_of(interaction))
            return losses

        return counted

    def _precision(self) -> AbstractContextManager:
        """Computation in the configured precision."""
        dtype = DTYPES[self.config["precision"]]
        return torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32)

    def _learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def _check_nan(self, loss: Tensor) -> None:
        if torch.isnan(loss):
            raise FloatingPointError("the loss became nan")


@contextmanager
def _scratch_directory() -> Iterator[None]:
    """A working directory that is thrown away: RecBole's Trainer.__init__ writes ./log_tensorboard into it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield
        finally:
            os.chdir(before)
