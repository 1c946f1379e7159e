"""What each user's list is to do without."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def alike_in_number(left_out: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Users with about as many items to do without: which they are `[b]`, and a power of two that is not below their
    numbers, 0 for those with nothing. What is asked for so many more items depends on the user alone.

    Args:
        left_out: items `[B, S]`, 0 in places that are empty.
    """
    powers = torch.cat([torch.zeros(1), 2.0 ** torch.arange(32)]).long().to(left_out.device)  # 0, 1, 2, 4, ...
    width = powers[torch.searchsorted(powers, (left_out > 0).sum(1))]
    for size in sorted(set(width.tolist())):
        yield (width == size).nonzero().squeeze(1), size


def among(items: Tensor, left_out: Tensor) -> Tensor:
    """Which of each user's `items` `[B, n]` are among the user's `left_out` `[B, S]`: bool `[B, n]`."""
    if not left_out.size(1):
        return torch.zeros_like(items, dtype=torch.bool)
    ordered = left_out.sort(1).values
    place = torch.searchsorted(ordered, items.contiguous()).clamp(max=ordered.size(1) - 1)
    return ordered.gather(1, place) == items
