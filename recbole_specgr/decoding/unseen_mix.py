"""TIGER_C's mixture: unseen items below generated prefixes, behind the generated items."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


def append_unseen(generated: Tensor, index: PrefixIndex, unseen: Tensor, most: int, left_out: Tensor) -> Tensor:
    """Put unseen items that share all digits but the last with a generated item at the end of the list.

    They come in the order in which their prefixes were generated, below one prefix in the order of their ids; what was
    generated itself is not taken again, and what is left out not at all. The first `K - x` generated items stay, where
    x is the number of unseen items that are there to be taken, at most `most`.

    Args:
        generated: items of the index, best first, then -1 `[B, K]`.
        index: of the candidates.
        unseen: `[n_items]`.
        most: largest x.
        left_out: items that a list does without, among which no generated one is; 0 in empty places `[B, S]`.

    Returns:
        `[B, K]`, -1 where there are no more.
    """
    k, device = generated.size(1), generated.device
    if not most:
        return generated
    # Below a prefix lies a range of `index.items`, and so one of the unseen among them.
    is_unseen = unseen[index.items]
    pool = index.items[is_unseen]
    before = torch.nn.functional.pad(is_unseen.cumsum(0), (1, 0))
    first_item = index.levels[-1].children[index.levels[-2].children]
    start_of, end_of = before[first_item[:-1]], before[first_item[1:]]

    exists = generated >= 0
    prefix = index.levels[-2].of_item[generated.clamp(min=0)]
    new = exists & is_first(prefix)
    start = start_of[prefix]
    count = torch.where(new, end_of[prefix] - start, 0)
    until = count.cumsum(1)

    # Places 0, 1, ... of the ranges set end to end; as many as are taken even when all that may not be is among them.
    not_taken = torch.cat([generated, left_out], dim=1).sort(1).values
    most_places = min(most + not_taken.size(1), len(pool))
    place = torch.arange(most_places, device=device).expand(len(generated), -1).contiguous()
    if not place.size(1):
        return generated
    rank = torch.searchsorted(until, place, right=True).clamp(max=k - 1)
    position = start.gather(1, rank) + place - (until - count).gather(1, rank)
    found = place < until[:, -1:]
    item = pool[torch.where(found, position, 0)]
    same = torch.searchsorted(not_taken, item).clamp(max=not_taken.size(1) - 1)
    found &= not_taken.gather(1, same) != item
    found &= found.cumsum(1) <= most

    stays = exists & (torch.arange(k, device=device) < k - found.sum(1, keepdim=True))
    items, taken = torch.cat([generated, item], 1), torch.cat([stays, found], 1)
    order = (~taken).to(torch.uint8).sort(dim=1, stable=True).indices[:, :k]
    return items.gather(1, order).masked_fill(~taken.gather(1, order), -1)


def is_first(values: Tensor) -> Tensor:
    """Where a value occurs for the first time in its row `[B, n]`."""
    ordered, order = values.sort(dim=1, stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return torch.empty_like(first).scatter_(1, order, first)
