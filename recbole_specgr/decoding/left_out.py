"""What each user's list is to do without."""

from __future__ import annotations

from torch import Tensor


def among(items: Tensor, left_out: Tensor) -> Tensor:
    """Which of each user's `items` `[B, n]` are among the user's `left_out` `[B, S]`: bool `[B, n]`."""
    return (items[:, :, None] == left_out[:, None, :]).any(2)
