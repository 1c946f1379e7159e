"""Drafting by any recommender's scores."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.data.unseen_history import without_unseen


def item_scores(
    recommender: SequentialRecommender, interaction: Interaction, seen: Tensor, drop_unseen: bool = True
) -> Tensor:
    """The recommender's score of every item, -inf for items that it does not draft.

    A recommender that can't embed new items (`inductive` is not True) drafts seen items only.

    Args:
        interaction: B users.
        seen: items of the training data `[n_items]`.
        drop_unseen: give a recommender that is not inductive histories without unseen items.

    Returns:
        `[B, n_items]`.
    """
    if getattr(recommender, "inductive", False):
        return recommender.full_sort_predict(interaction).view(len(interaction), -1)
    if drop_unseen:
        interaction = without_unseen(interaction, recommender.ITEM_SEQ, recommender.ITEM_SEQ_LEN, seen)
    scores = recommender.full_sort_predict(interaction).view(len(interaction), -1)
    return scores.masked_fill(~seen, -torch.inf)
