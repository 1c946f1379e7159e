"""How models over whole histories take them from a batch."""

from __future__ import annotations

from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor


class ReadsHistories(SequentialRecommender):
    """A recommender whose histories are no longer than its batch needs."""

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Items `[B, S]`, cut to the longest history of the batch, and lengths `[B]`."""
        length = interaction[self.ITEM_SEQ_LEN]
        return interaction[self.ITEM_SEQ][:, : self.longest(length)], length

    def longest(self, length: Tensor) -> int:
        """How many columns histories of the lengths `[B]` are given."""
        return int(length.max())
