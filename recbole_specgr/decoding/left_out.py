"""What each user's list is to do without."""

from __future__ import annotations

import torch
from torch import Tensor


def among(items: Tensor, left_out: Tensor) -> Tensor:
    """Which of each user's `items` `[B, n]` are among the user's `left_out` `[B, S]`: bool `[B, n]`."""
    if not left_out.size(1):
        return torch.zeros_like(items, dtype=torch.bool)
    ordered = left_out.sort(1).values
    place = torch.searchsorted(ordered, items.contiguous()).clamp(max=ordered.size(1) - 1)
    return ordered.gather(1, place) == items
