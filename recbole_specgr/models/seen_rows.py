"""The seen items as the rows of a table that holds no others, which losses over all seen items need."""

from __future__ import annotations

import torch
from torch import Tensor

NOT_SEEN = -1  # the row of an item that is not seen; in a table with zeros behind the seen items it finds these


def seen_rows(seen: Tensor) -> tuple[Tensor, Tensor]:
    """The seen items `[n_seen]` in the order of their ids, and each item's row among them `[n_items]`, or `NOT_SEEN`.

    Args:
        seen: the items of the training data, BoolTensor `[n_items]`.
    """
    items = seen.nonzero().squeeze(1)
    row = torch.full_like(seen, NOT_SEEN, dtype=torch.long)
    row[items] = torch.arange(len(items), device=seen.device)
    return items, row


def rows_of_new(n: int) -> Tensor:
    """The rows of n items that arrive after training `[n]`."""
    return torch.full((n,), NOT_SEEN)
