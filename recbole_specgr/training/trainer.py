"""The trainer of this package's own models."""

import torch
from recbole.trainer import Trainer as RecBoleTrainer
from torch.nn.utils import clip_grad_norm_

from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.meter import named_losses
from recbole_specgr.training.optimizer import build_adamw, warmup_cosine
from recbole_specgr.training.staged import StagedTrainer


class Trainer(StagedTrainer, RecBoleTrainer):
    """AdamW under a warm-up and cosine schedule, batches gathered by index, bf16 autocast where it is asked for."""

    def _build_optimizer(self, **kwargs):
        if not self._trains:
            return None
        return build_adamw(self.model, self.config["learning_rate"], self.config["weight_decay"])

    def _build_scheduler(self, total_steps):
        return warmup_cosine(self.optimizer, self.config["warmup_steps"] or 0, total_steps)

    def _loader(self, train_data, overrides):
        rows, contrasted = self.config["train_batch_size"], self.config["contrastive_batch_size"] or 0
        dataset = train_data._dataset
        if hasattr(self.model, "training_rows"):
            dataset = self.model.training_rows(dataset)
        return BatchLoader(
            dataset,
            rows,
            self.config["seed"],
            extra_rows=max(0, contrasted - rows),
            rank=self.config["rank"],
            world_size=self.config["world_size"],
        )

    def _shuffle(self, loader, seed, epoch):
        loader.set_epoch(epoch)

    def _rows(self, interaction):
        share = -(-self.config["train_batch_size"] // self.config["world_size"])
        return min(len(interaction), share)  # further rows are there to be contrasted only

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        self.model.train()
        loss_func = self._metered(loss_func or self.model.calculate_loss)
        for interaction in train_data:
            self.optimizer.zero_grad(set_to_none=True)
            if not self.config["single_spec"]:
                self.set_reduce_hook()
            loss = sum(named_losses(loss_func(interaction.to(self.device))).values())
            if not self.config["single_spec"]:
                loss = loss + self.sync_grad_loss()
            loss.backward()
            if self.clip_grad_norm:
                clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
            self.optimizer.step()
            self.scheduler.step()
        self._check_nan(torch.tensor(self.meter.means().get("loss", 0.0)))
