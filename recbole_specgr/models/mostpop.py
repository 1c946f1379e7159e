from __future__ import annotations

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.evaluation.ranking import EMPTY, rank_scores
from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.training_free import TrainingFreeRecommender


class MostPop(TrainingFreeRecommender):
    """The items with the most interactions in training, for everyone."""

    reads_histories = False
    reads_interactions = True

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        _, items, times = dataset.train_interactions
        end = times.max() + 1 if dataset.split.train_end is None else dataset.split.train_end
        counts = self.count(items, times, end, config)
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.float32)), persistent=False)
        self._best: tuple[Tensor, Tensor] | None = None  # the candidates that were ranked last, and their best [n]

    def count(self, items: np.ndarray, times: np.ndarray, end: int, config: Config) -> np.ndarray:
        """How popular each item is, numbers that are exact in float32 [n_items].

        Args:
            items, times: of the training interactions, int64 [N].
            end: when training ends.
        """
        return np.bincount(items, minlength=self.n_items)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`."""
        return self.counts.repeat(len(interaction), 1)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The list for everyone: the items are ranked once a phase."""
        items = self.best(k, candidates).expand(len(users.interaction), -1)
        return RankedList(items, self.counts[items.clamp(min=0)].masked_fill(items == EMPTY, -torch.inf))

    def best(self, n: int, candidates: Tensor) -> Tensor:
        """The n best candidates, -1 where there are fewer: `[n]`. The last list is kept."""
        if self._best is None or len(self._best[1]) != n or not torch.equal(self._best[0], candidates):
            self._best = candidates, rank_scores(self.counts[None], n, candidates)[0]
        return self._best[1]
