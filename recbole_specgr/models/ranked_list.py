"""Models that give lists: the list with its scores, and what RecBole's case studies ask for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from recbole.data.interaction import Interaction
from torch import Tensor


@dataclass
class RankedList:
    """Items of B users, best first.

    Attributes:
        items: `[B, K]`, -1 where there are no more.
        scores: `[B, K]`, NaN for an item that has a place but no score of its own.
        round_of: round in which each was drafted and accepted, from 0; -1 for one that the beams filled in. None from
            models that do not draft.
    """

    items: Tensor
    scores: Tensor
    round_of: Tensor | None = None


class RanksByList:
    """Mixin for a model whose ranking is a list and not a score of every item.

    Attributes:
        list_length: of the list that `full_sort_predict` is made of: the longest of `topk`.
    """

    list_length: int
    n_items: int

    def ranked(self, interaction: Interaction, k: int, candidates: Tensor | None = None) -> RankedList:
        """The k best candidates (BoolTensor [n_items], None: all items) and their scores."""
        raise NotImplementedError

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`; -inf for those that do not stand in the user's list. Those that stand in
        it without a score get the least of the others' less their place."""
        ranked = self.ranked(interaction, self.list_length)
        place = torch.arange(1, ranked.items.size(1) + 1, device=ranked.items.device)
        least = ranked.scores.masked_fill(~ranked.scores.isfinite(), torch.inf).amin(1, keepdim=True)
        listed = torch.where(ranked.scores.isnan(), least.nan_to_num(posinf=0) - place, ranked.scores)
        scores = listed.new_full((len(listed), self.n_items), -torch.inf)
        scores.scatter_(1, ranked.items.clamp(min=0), listed)
        scores[:, 0] = -torch.inf  # what is written there stands for the end of a list
        return scores
