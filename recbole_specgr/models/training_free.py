"""What the models that follow a rule share: no parameters, no loss."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_specgr.models.contract import ScoresItems


class TrainingFreeRecommender(ScoresItems, SequentialRecommender):
    """Ranks by `scores`, which a subclass gives. Whether lists hold the history is the protocol's (`repeatable`)."""

    input_type = InputType.POINTWISE

    def scores(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`, a new tensor."""
        raise NotImplementedError

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`."""
        return self.scores(interaction)
