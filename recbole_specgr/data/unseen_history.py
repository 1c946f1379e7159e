"""What a model that can't embed unseen items is given of them in a history: `unseen_history: keep | drop`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from recbole.data.interaction import Interaction
from torch import Tensor


def without_unseen(
    interaction: Interaction, items_field: str, length_field: str, seen: Tensor, columns: Sequence[str] = ()
) -> Interaction:
    """`interaction` with only the seen items in its histories.

    A history of unseen items alone stays as it is: RecBole's models can't read an empty one.

    Args:
        interaction: has item ids [B, L], padded with 0 on the right, and lengths [B].
        seen: BoolTensor [n_items], False for the padding item.
        columns: further fields of the batch that have a value for each item of a history, [B, L]; those that it lacks
            are passed over.
    """
    items, length = interaction[items_field], interaction[length_field]
    known = seen[items]
    kept = known.sum(1)
    order = (~known).to(torch.uint8).argsort(dim=1, stable=True)
    inside = torch.arange(items.size(1), device=items.device) < kept[:, None]
    some = kept > 0

    def left(values: Tensor) -> Tensor:
        return values.gather(1, order).where(inside, 0).where(some[:, None], values)

    return Interaction(
        {
            **interaction.interaction,
            **{field: left(interaction[field]) for field in (items_field, *columns) if field in interaction},
            length_field: kept.where(some, length),
        }
    )
