"""The trainer of this package's own models."""

from __future__ import annotations

from typing import Any

from recbole.trainer import Trainer as RecBoleTrainer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from recbole_specgr.system.errors import UserError
from recbole_specgr.training.batch import TrainingBatch
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.optimizer import build_adamw
from recbole_specgr.training.progress import StageProgress
from recbole_specgr.training.schedules import SCHEDULES, Schedule, warmup_in_steps, warn_of_long_warmup
from recbole_specgr.training.staged import StagedTrainer
from recbole_specgr.training.window_loader import WindowLoader
from recbole_specgr.training.windows import Windows


class Trainer(StagedTrainer, RecBoleTrainer):
    """AdamW under a schedule with a warm-up; batches gathered by index and shared by the processes.

    A step is the same with any number of processes and in any number of parts: its gradient is that of the mean loss
    over the targets of its batch, `train_batch_size` in all, whether they come in rows of one target each or in windows
    of many. A model's losses are means over the targets it is given; those that compare rows with each other
    (`compares_rows`) gather them from all processes and can't be taken in parts.
    """

    parallel: Any = None  # a `parallel.Parallel` as soon as a stage has begun
    schedule: Schedule

    def _check_settings(self):
        if self.config["parallel"] == "fsdp" and self.config["precision"] == "fp16":
            raise UserError("[parallel: fsdp] has no loss scaling for [precision: fp16]. Take --precision=bf16.")
        train_on, possible = self.config["train_on"], self.model.trains_on
        if train_on not in possible:
            raise UserError(
                f"[train_on: {train_on}]: {self.config['model']} can't learn from {train_on}. Take "
                f"--train_on={' or '.join(possible)}."
            )

    def _build_optimizer(self, **kwargs):
        if not self._trains:
            return None
        model = self.parallel.trained if self.parallel else self.model
        return build_adamw(model, self.config["learning_rate"], self.config["weight_decay"])

    def _build_scheduler(self, total_steps):
        warmup = warmup_in_steps(self.config["warmup_steps"] or 0, total_steps)
        warn_of_long_warmup(warmup, total_steps, self.config["learning_rate"])
        self.schedule = SCHEDULES[self.config["schedule"]](warmup, total_steps)
        return LambdaLR(self.optimizer, self.schedule)

    def _plan_end(self, progress: StageProgress, steps: int) -> None:
        if self.scheduler is not None:
            self.schedule.plan_end(progress, self.scheduler.last_epoch, steps)

    def _after_validation(self, progress: StageProgress) -> None:
        if self.scheduler is not None:
            self.schedule.after_validation(progress, self.stopping_step)

    def _wrap_distributed(self):
        # Not at the top: accelerate loads slowly, and nothing but training needs it.
        from recbole_specgr.training.parallel import Parallel

        self.parallel = None  # the last stage's hooks have to go first
        self.parallel = Parallel(self.model, self.config)

    @property
    def _module(self):
        return self.parallel.trained

    def _collect(self):
        self.parallel.collect()

    def _loader(self, train_data, overrides):
        train_on = self.config["train_on"]
        loader = self._windows(train_data) if train_on == "windows" else self._rows(train_data)
        parts, processes = self.config["accumulation_steps"], self.config["world_size"]
        if parts > 1 and (loader.extra_rows or self.model.compares_rows):
            raise UserError(
                f"[accumulation_steps: {parts}]: this stage's loss compares the rows of a batch with each other, so it "
                f"can't be taken in parts. --activation_checkpointing and more processes save memory here."
            )
        if loader.smallest < parts * processes:
            raise UserError(
                f"[train_batch_size]: a batch of {loader.smallest} {train_on} is too small for {processes} "
                f"processes and [accumulation_steps: {parts}]."
            )
        return loader

    def _windows(self, train_data) -> WindowLoader:
        return WindowLoader(
            Windows(train_data._dataset),
            self.config["train_batch_size"],
            self.config["seed"],
            rank=self.config["rank"],
            world_size=self.config["world_size"],
        )

    def _rows(self, train_data) -> BatchLoader:
        rows, contrasted = self.config["train_batch_size"], self.config["contrastive_batch_size"] or 0
        return BatchLoader(
            self.model.training_rows(train_data._dataset),
            rows,
            self.config["seed"],
            extra_rows=max(0, contrasted - rows),
            rank=self.config["rank"],
            world_size=self.config["world_size"],
        )

    def _shuffle(self, loader, seed, epoch):
        loader.set_epoch(epoch)

    def _batches_from(self, loader, first):
        return loader.batches_from(first)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        self.parallel.losses.train()
        for batch in train_data:
            self.optimizer.zero_grad(set_to_none=True)
            losses = self._gradients(batch)
            self.meter.add(losses, batch.total, self._learning_rate(), self.model.tokens_of(batch.interaction))
            if self.clip_grad_norm:
                self.scaler.unscale_(self.optimizer)
                self.parallel.clip(**self.clip_grad_norm)
            before = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.scaler.get_scale() >= before:  # else there was no step, for gradients beyond fp16
                self.scheduler.step()
        self._collect()

    def _gradients(self, batch: TrainingBatch) -> dict[str, Tensor]:
        """Add up the gradients of a batch's parts, and return this process's share of its losses."""
        parts, total = self.config["accumulation_steps"], dict[str, Tensor]()
        for number, (part, targets) in enumerate(batch.in_parts(parts), 1):
            # Mean over this part -> its part of the mean over all targets; processes are averaged afterwards.
            weight = targets * self.config["world_size"] / batch.total
            with self.parallel.accumulating(last=number == parts):
                with self._precision():
                    losses = self.parallel.losses(part.to(self.device))
                losses = {name: weight * loss for name, loss in losses.items()}
                self.parallel.backward(self.scaler.scale(sum(losses.values())))
            for name, loss in losses.items():
                loss = loss.detach()
                total[name] = total[name] + loss if name in total else loss
        return total
