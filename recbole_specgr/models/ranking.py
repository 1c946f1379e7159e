"""The list of any model, however it ranks."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_specgr.evaluation.ranking import rank_scores
from recbole_specgr.models.ranked_list import RankedList


def rank(model: nn.Module, interaction: Interaction, k: int, allowed: Tensor) -> RankedList:
    """The k best allowed items of every user of a batch, whatever kind of ranking the model has."""
    if hasattr(model, "ranked"):
        return model.ranked(interaction, k, allowed)
    if hasattr(model, "full_sort_topk"):
        items = model.full_sort_topk(interaction, k, allowed)
        return RankedList(items, torch.full(items.shape, torch.nan, device=items.device))
    scores = model.full_sort_predict(interaction).view(len(interaction), -1)
    items = rank_scores(scores, k, allowed)
    return RankedList(items, scores.gather(1, items.clamp(min=0)))
