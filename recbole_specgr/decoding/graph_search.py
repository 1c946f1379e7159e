"""Graph-guided search among items whose digits are predicted all at once, for catalogues too large to score.

Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025. Items whose digits are alike get
like scores. So each item is tied to those most like it, and the search walks from the best items found so far to their
neighbours. It scores beam x (edges + 1) items a step, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.decoding.parallel_likelihood import log_likelihood, log_likelihood_of_all

BLOCK = 1024  # items whose neighbours are found together
START_SEED = 0  # of the items that a search starts from; the same for every user, so that lists depend on nothing else


@dataclass(frozen=True)
class ItemGraph:
    """The candidates and which of them are alike.

    Attributes:
        items: the candidates `[n]`.
        neighbours: for each, the positions of the most alike others in `items`, `[n, edges]`.
    """

    items: Tensor
    neighbours: Tensor

    @classmethod
    def build(cls, digit_vectors: Tensor, codes: Tensor, items: Tensor, edges: int) -> ItemGraph:
        """Tie every candidate to the `edges` others (or to all, where there are fewer) that are most alike.

        Two items are as alike as the mean cosine of their digits' vectors. All pairs are compared, a block at a time.

        Args:
            digit_vectors: of each code of each digit `[L, C, d]`.
            codes: of all items `[n_items, L]`.
            items: the candidates `[n]`.
            edges: neighbours of an item.
        """
        unit = F.normalize(digit_vectors, dim=-1)
        cosines = unit @ unit.transpose(1, 2)  # [L, C, C]
        own = codes[items]
        digit = torch.arange(codes.size(1), device=codes.device)
        neighbours = []
        for block in torch.split(torch.arange(len(items), device=items.device), BLOCK):
            alike = log_likelihood_of_all(cosines[digit, own[block]], own)  # the mean over the digits, as of log-probs
            alike[torch.arange(len(block), device=items.device), block] = -torch.inf
            neighbours.append(alike.topk(min(edges, len(items) - 1), dim=1).indices)
        return cls(items, torch.cat(neighbours))


def graph_search(
    graph: ItemGraph, log_probs: Tensor, codes: Tensor, bonus: Tensor, k: int, beam: int, steps: int
) -> tuple[Tensor, Tensor]:
    """The k best items that the search finds. With a beam as large as the catalogue, these are the k best of all.

    Args:
        graph: of the candidates.
        log_probs: of each code of each digit `[B, L, C]`.
        codes: of all items `[n_items, L]`.
        bonus: what is added to each item's mean log-probability of a digit `[n_items]`.
        k: list length.
        beam: items kept after each step, at least k.
        steps: how often the search goes on to neighbours.

    Returns:
        Items `[B, k]`, best first, equal ones in the candidates' order, -1 where there are no more, and their scores
        `[B, k]`, -inf beside -1.
    """
    n, users = len(graph.items), len(log_probs)
    beam = min(max(beam, k), n)
    generator = torch.Generator().manual_seed(START_SEED)
    start = torch.randperm(n, generator=generator)[:beam].sort().values.to(graph.items.device)

    # 1. Start from the same random items for every user.
    best, scores = _best(start.expand(users, -1), graph, log_probs, codes, bonus, beam)
    for _ in range(steps):
        # 2. Go on to the neighbours of the best, and keep the best of them all.
        best, scores = _best(_with_neighbours(best, graph), graph, log_probs, codes, bonus, beam)
    # 3. The first k are the list.
    items = torch.where(scores > -torch.inf, graph.items[best.clamp(min=0)], -1)[:, :k]
    pad = (0, k - items.size(1))
    return F.pad(items, pad, value=-1), F.pad(scores[:, :k], pad, value=-torch.inf)


def _with_neighbours(best: Tensor, graph: ItemGraph) -> Tensor:
    """Positions `[B, beam]` and those of their neighbours, each once `[B, m]`; -1 in place of what comes again."""
    positions = torch.cat([best, graph.neighbours[best].flatten(1)], 1).sort(1).values
    positions[:, 1:] = torch.where(positions[:, 1:] == positions[:, :-1], -1, positions[:, 1:])
    return positions


def _best(
    positions: Tensor, graph: ItemGraph, log_probs: Tensor, codes: Tensor, bonus: Tensor, beam: int
) -> tuple[Tensor, Tensor]:
    """The best of the positions `[B, m]`, -1 in places that are empty, and their scores, both `[B, beam]`. Equal
    ones stay in their order."""
    items = torch.where(positions < 0, -1, graph.items[positions.clamp(min=0)])
    scores = log_likelihood(log_probs, codes, items) + bonus[items.clamp(min=0)]
    scores, chosen = scores.sort(dim=1, descending=True, stable=True)
    return positions.gather(1, chosen[:, :beam]), scores[:, :beam]
