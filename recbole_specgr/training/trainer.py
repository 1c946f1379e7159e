"""The trainer of this package's own models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recbole.trainer import Trainer as RecBoleTrainer
from torch import Tensor

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import share_of
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.optimizer import build_adamw, warmup_cosine
from recbole_specgr.training.staged import StagedTrainer

if TYPE_CHECKING:
    from recbole_specgr.training.parallel import Parallel


class Trainer(StagedTrainer, RecBoleTrainer):
    """AdamW under a warm-up and cosine schedule; batches gathered by index and shared by the processes.

    A step is the same with any number of processes and in any number of parts: its gradient is that of the mean loss
    over the `train_batch_size` rows of its batch. A model's losses are means over the rows it is given; those that
    compare rows with each other (`compares_rows`) gather them from all processes and can't be taken in parts.
    """

    parallel: Parallel | None = None

    def _check_settings(self):
        if self.config["parallel"] == "fsdp" and self.config["precision"] == "fp16":
            raise UserError("[parallel: fsdp] has no loss scaling for [precision: fp16]. Take --precision=bf16.")

    def _build_optimizer(self, **kwargs):
        if not self._trains:
            return None
        model = self.parallel.trained if self.parallel else self.model
        return build_adamw(model, self.config["learning_rate"], self.config["weight_decay"])

    def _build_scheduler(self, total_steps):
        return warmup_cosine(self.optimizer, self.config["warmup_steps"] or 0, total_steps)

    def _wrap_distributed(self):
        # Not at the top: accelerate loads slowly, and nothing but training needs it.
        from recbole_specgr.training.parallel import Parallel

        self.parallel = None  # the last stage's hooks have to go first
        self.parallel = Parallel(self.model, self.config)

    def _collect(self):
        self.parallel.collect()

    def _loader(self, train_data, overrides):
        rows, contrasted = self.config["train_batch_size"], self.config["contrastive_batch_size"] or 0
        processes = self.config["world_size"]
        loader = BatchLoader(
            self.model.training_rows(train_data._dataset),
            rows,
            self.config["seed"],
            extra_rows=max(0, contrasted - rows),
            rank=self.config["rank"],
            world_size=processes,
        )
        parts = self.config["accumulation_steps"]
        if parts > 1 and (loader.extra_rows or self.model.compares_rows):
            raise UserError(
                f"[accumulation_steps: {parts}]: this stage's loss compares the rows of a batch with each other, so it "
                f"can't be taken in parts. --activation_checkpointing and more processes save memory here."
            )
        if loader.batch_size < parts * processes:
            raise UserError(
                f"[train_batch_size]: a batch of {loader.batch_size} rows is too small for {processes} processes and "
                f"[accumulation_steps: {parts}]."
            )
        return loader

    def _shuffle(self, loader, seed, epoch):
        loader.set_epoch(epoch)

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        self.parallel.losses.train()
        for batch in train_data:
            self.optimizer.zero_grad(set_to_none=True)
            losses = self._gradients(batch, train_data.batch_size)
            self.meter.add(losses, train_data.batch_size, self._learning_rate(), self.model.tokens_of(batch))
            if self.clip_grad_norm:
                self.scaler.unscale_(self.optimizer)
                self.parallel.clip(**self.clip_grad_norm)
            before = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.scaler.get_scale() >= before:  # else there was no step, for gradients beyond fp16
                self.scheduler.step()
        self._collect()

    def _gradients(self, batch, rows: int) -> dict[str, Tensor]:
        """Add up the gradients of a batch's parts, and return this process's share of its losses.

        Args:
            batch: this process's rows, those of the epoch before those that are there to be contrasted only.
            rows: of the epoch, in the batch of all processes.
        """
        parts = self.config["accumulation_steps"]
        own, total = share_of(rows), {}
        for number in range(parts):
            part = batch[number::parts] if parts > 1 else batch
            # Mean over this part -> this process's part of the mean over all rows; processes are averaged afterwards.
            weight = (own if parts == 1 else len(part)) * self.config["world_size"] / rows
            with self.parallel.accumulating(last=number == parts - 1):
                with self._precision():
                    losses = self.parallel.losses(part.to(self.device))
                losses = {name: weight * loss for name, loss in losses.items()}
                self.parallel.backward(self.scaler.scale(sum(losses.values())))
            for name, loss in losses.items():
                loss = loss.detach()
                total[name] = total[name] + loss if name in total else loss
        return total
