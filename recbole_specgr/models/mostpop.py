from __future__ import annotations

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.training_free import TrainingFreeRecommender


class MostPop(TrainingFreeRecommender):
    """The items with the most interactions in training, for everyone."""

    reads_interactions = True

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        _, items, times = dataset.train_interactions
        end = times.max() + 1 if dataset.split.train_end is None else dataset.split.train_end
        counts = self.count(items, times, end, config)
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.float32)), persistent=False)

    def count(self, items: np.ndarray, times: np.ndarray, end: int, config: Config) -> np.ndarray:
        """How popular each item is, float64 [n_items].

        Args:
            items, times: of the training interactions, int64 [N].
            end: when training ends.
        """
        return np.bincount(items, minlength=self.n_items)

    def scores(self, interaction: Interaction) -> Tensor:
        return self.counts.repeat(len(interaction), 1)
