"""Eq. 2 for given items, token by token: how probable a generator holds their ids, whether it would generate them or
not."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_specgr.decoding.prefix_store import PrefixStore


def log_likelihood(
    prefixes: PrefixStore,
    items: Tensor,
    lengths: Tensor,
    bonus: Tensor,
    accept_threshold: float = -torch.inf,
    together: bool = True,
) -> Tensor:
    """Mean log-probability of a digit of each item's id (Eq. 2).

    Log-probabilities only fall, so an item's partial sum bounds its score from above. Where that bound is at or below
    the threshold, it is returned as it is: its further digits are not computed.

    Args:
        prefixes: of B users.
        items: candidates `[B, n]`; -1 in places that are empty.
        lengths: digits of each item that count, from the first on `[n_items]`.
        bonus: what is added to each item's mean `[n_items]`.
        accept_threshold: only scores above it have to be exact.
        together: all digits go through the decoder in one call. Otherwise they go one by one, so that those of items
            that have fallen below the threshold need not be computed.

    Returns:
        `[B, n]`, -inf in places that are empty.
    """
    index, depths = prefixes.index, range(len(prefixes.digit_columns))
    exists = items >= 0
    # 1. Sort each user's items by their ids, so that equal prefixes lie side by side.
    items = torch.where(exists, items, index.items[0])
    order = index.levels[-1].of_item[items].argsort(1)
    items, open_ = items.gather(1, order), exists.gather(1, order)
    length, extra = lengths[items], bonus[items]

    # 2. Place all prefixes at once, or see below.
    places = [torch.zeros_like(items)]

    def place(depth: int, valid: Tensor) -> None:
        places.append(prefixes.place(depth, index.levels[depth].of_item[items], places[depth - 1], valid))

    if together:
        for depth in depths[1:]:
            place(depth, open_ & (depth < length))

    # 3. Add up digit by digit, and close what can't be accepted any more.
    total = torch.zeros_like(items, dtype=prefixes.memory.bias.dtype)
    for depth in depths:
        counts = open_ & (depth < length)
        if not (prefixes.static or bool(counts.any())):
            break
        if depth and not together:
            place(depth, counts)
        token = index.levels[depth + 1].token[index.levels[depth + 1].of_item[items]]
        total = torch.where(counts, total + prefixes.log_probs_of(depth, places[depth], token), total)
        open_ = open_ & (total / length + extra > accept_threshold)

    # 4. Put the scores back into the order in which the items came.
    return (total / length + extra).gather(1, order.argsort(1)).masked_fill(~exists, -torch.inf)
