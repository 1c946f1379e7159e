"""Lists whose items are not all alike: the places of a longer list chosen by maximal marginal relevance."""

from __future__ import annotations

import torch
from torch import Tensor

EMPTY_PLACE = -2.0  # less than any item is worth


def maximal_marginal_relevance(alike: Tensor, exist: Tensor, weight: float, k: int) -> Tensor:
    """Choose k places of each list, one after another: the one with the most relevance that is least like those chosen.

    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries", SIGIR 1998: each time the place of the largest `(1 - weight) * relevance - weight * likeness`, likeness
    being that to the most alike item chosen before. A model's scores may be of any scale, or missing, so relevance is
    what NDCG gives a hit at the item's place in the longer list, `1 / log2(place + 1)`.

    Args:
        alike: how alike the items of each list are `[B, n, n]`, at most 1.
        exist: whether a place has an item `[B, n]`.
        weight: from 0, which keeps the order, to 1.
        k: at most n.

    Returns:
        LongTensor `[B, k]`. Of equal ones the first. Places without an item come last.
    """
    users, n = exist.shape
    place = torch.arange(n, device=alike.device)
    relevance = 1 / (place + 2).to(alike.dtype).log2()
    taken, likeness = torch.zeros_like(exist), alike.new_zeros(users, n)
    chosen = []
    for number in range(k):
        worth = ((1 - weight) * relevance - weight * likeness).masked_fill(~exist, EMPTY_PLACE)
        best = worth.masked_fill(taken, -torch.inf).argmax(1, keepdim=True)
        chosen.append(best)
        taken.scatter_(1, best, True)
        new = alike.gather(1, best[:, :, None].expand(-1, 1, n)).squeeze(1)
        likeness = torch.maximum(likeness, new) if number else new
    return torch.cat(chosen, dim=1)
