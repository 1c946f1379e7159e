"""What a user has had before a target, in what a model reads or before that: `repeatable: False` leaves it out."""

from __future__ import annotations

import torch
from torch import Tensor


def earlier_field(history_field: str) -> str:
    """The batch's column that has it, beside the column of the histories that a model reads."""
    return f"earlier_{history_field}"


def earlier_items(items: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Stretches of `items` `[N]`, from `starts` `[...]` to before `ends` `[...]`: `[..., S]` with 0 behind each.

    S is the longest stretch, rounded up to a power of two so that few shapes occur.
    """
    length = ends - starts
    longest = int(length.max()) if length.numel() else 0
    offset = torch.arange(1 << (longest - 1).bit_length() if longest else 0)
    inside = offset < length[..., None]
    return items[(starts[..., None] + offset).where(inside, 0)].where(inside, 0)
