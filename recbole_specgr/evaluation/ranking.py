"""Scores -> ranked lists of item ids, and the check that a list given by a model is one."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from recbole_specgr.system.errors import UserError

EMPTY = -1  # fills a list that has fewer than k items
SCORES_AT_ONCE = 2**26  # the most scores, users x items, that ranking holds at a time: 256 MB in float32


def comparable(scores: Tensor) -> Tensor:
    """Scores as they are compared: float64 ones rounded to float32.

    How a product of matrices rounds depends on its shape, and so on who else is in the batch. Computed in float64 and
    compared in float32, scores that are equal stay equal in every batch.
    """
    return scores.float() if scores.dtype == torch.float64 else scores


def rank_scores(scores: Tensor, k: int, allowed: Tensor) -> Tensor:
    """Return the ids of the k best allowed items of each row, best first.

    Args:
        scores: [B, n_items], compared as `comparable` says. They stay as they are: a model may have them still.
        allowed: BoolTensor [n_items].

    Returns:
        LongTensor [B, k]. Equal scores come in the order of their ids, on every device. Items scored -inf, and places
        beyond the number of items, are -1.

    Raises:
        ValueError: an allowed item has a score that is not a number.
    """
    scores = comparable(scores).masked_fill(~allowed, -torch.inf)
    values, items = scores.topk(min(k + 1, scores.size(1)))
    if values[:, 0].isnan().any():  # topk sorts NaN before every number
        raise ValueError(f"The model's scores hold NaN ({int(scores.isnan().any(1).sum())} of {len(scores)} rows).")
    if values.size(1) > k:
        # topk picks arbitrarily among equals, which matters where the k-th and the next are equal.
        tied = ((values[:, k - 1] == values[:, k]) & values[:, k].isfinite()).nonzero().squeeze(1)
        values, items = values[:, :k], items[:, :k]
        if len(tied):
            items[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    items, order = items.sort(dim=1)
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    ranked = items.gather(1, order).masked_fill_(values == -torch.inf, EMPTY)
    return torch.nn.functional.pad(ranked, (0, k - ranked.size(1)), value=EMPTY)


def blocks(total: int, each: int) -> Iterator[slice]:
    """Stretches of `total` things in their order, each of which has `each` numbers a thing: as long as
    `SCORES_AT_ONCE` lets them be, and no shorter than one."""
    size = max(1, SCORES_AT_ONCE // max(each, 1))
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def scores_without(scores: Tensor, left_out: Tensor | None, first: int = 0) -> Tensor:
    """The scores `[B, m]`, -inf for each user's `left_out` `[B, S]`, where there is any.

    Args:
        first: the item of the first column.
    """
    if left_out is None:
        return scores
    place = left_out - first
    columns = place.where((place >= 0) & (place < scores.size(1)), scores.size(1))
    wider = torch.nn.functional.pad(scores, (0, 1))  # the last column is for what stands in no other
    return wider.scatter_(1, columns, -torch.inf)[:, :-1]


def rank_blocks(
    scores_of: Callable[[slice], Tensor], users: int, k: int, allowed: Tensor, left_out: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`rank_scores` without ever holding the scores of all items: they are computed for a stretch of the items at a
    time, and each user's k best so far are kept.

    Args:
        scores_of: a stretch of the items -> its scores `[users, m]`.
        users: number of rows.
        allowed: BoolTensor [n_items].
        left_out: items `[users, S]` that each list does without; None: nothing.

    Returns:
        Items `[users, k]` as `rank_scores` gives them, and their scores `[users, k]`, -inf beside -1.
    """
    items = torch.empty(users, 0, dtype=torch.long, device=allowed.device)
    scores = torch.empty(users, 0, device=allowed.device)
    for block in blocks(len(allowed), users):
        of_block = scores_without(scores_of(block), left_out, block.start)
        best = rank_scores(of_block, k, allowed[block])
        missing = best == EMPTY
        values = of_block.gather(1, best.clamp(min=0)).masked_fill_(missing, -torch.inf)
        # The kept items stand first and have smaller ids, so a stable sort leaves equals in the order of their ids.
        items = torch.cat([items, (best + block.start).masked_fill_(missing, EMPTY)], dim=1)
        scores = torch.cat([scores.to(values), values], dim=1)
        order = comparable(scores).sort(dim=1, descending=True, stable=True).indices[:, :k]
        items, scores = items.gather(1, order), scores.gather(1, order)
    return items, scores


def check_ranked(ranked: Tensor, rows: int, k: int, candidates: Tensor) -> None:
    """Raise ValueError unless `ranked` is [rows, k] with distinct candidates, then -1 to the end, in every row.

    Args:
        candidates: BoolTensor [n_items], the items that may be ranked (never the padding item 0).
    """
    if ranked.shape != (rows, k) or ranked.is_floating_point():
        raise ValueError(
            f"full_sort_topk returned {ranked.dtype} {list(ranked.shape)}; wanted are integer item ids [{rows}, {k}]."
        )
    empty = ranked == EMPTY
    inside = (ranked >= 0) & (ranked < len(candidates))
    known = inside & candidates[ranked.clamp(0, len(candidates) - 1)]
    ordered = ranked.sort(dim=1).values
    faults = {
        "an id outside the item table": ~(inside | empty),
        "the padding item or an item that is not a candidate of this phase": inside & ~known,
        "an item after -1": empty[:, :-1] & ~empty[:, 1:],
        "the same item twice": (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != EMPTY),
    }
    if torch.stack([fault.any() for fault in faults.values()]).any():  # one transfer from the device
        what, fault = next((what, fault) for what, fault in faults.items() if fault.any())
        row = int(fault.any(1).nonzero()[0])
        raise ValueError(f"full_sort_topk returned {what}, in row {row} of the batch: {ranked[row].tolist()}.")


def check_topk(topk: list[int], candidates: Tensor, phase: str) -> None:
    """Raise UserError when a list length in `topk` exceeds the number of candidates (BoolTensor [n_items])."""
    count = int(candidates.sum())
    if max(topk) > count:
        raise UserError(f"topk: {max(topk)} is above the {count} items that the {phase} phase ranks; lower --topk.")
