"""What the lists of an evaluation are made of: drafts, and what the user has had already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.decoding.left_out import among
from recbole_specgr.evaluation.ranking import EMPTY
from recbole_specgr.models.contract import RankedList
from recbole_specgr.system.processes import from_all_processes

TOGETHER = 128  # users whose earlier items are looked up at a time


@dataclass(frozen=True)
class ListedShares:
    """Shares from 0 to 1.

    Attributes:
        drafted: of the listed items, those that were drafted and accepted; None from a model that does not draft.
        had: of the listed items, those that the user has had.
    """

    drafted: float | None
    had: float


class ListedItems:
    """Counts lists batch by batch, on the lists' device: no value is read before `shares`."""

    def __init__(self) -> None:
        # Of each batch: drafts, or -1 from a model that makes none; items that the user has had; listed items.
        self._counts: list[Tensor] = []

    def add(self, ranked: RankedList, earlier_of: Callable[[Tensor], Tensor]) -> None:
        """Count the lists of a batch.

        Args:
            earlier_of: some of the batch's users, numbers `[b]` -> what they have had `[b, S]`, 0 in places that are
                empty. It is asked for a few users at a time, for some may have had very much.
        """
        items, rounds = ranked.items, ranked.round_of
        had = [
            among(items[users.to(items.device)], earlier_of(users).to(items.device)).sum()
            for users in torch.arange(len(items)).split(TOGETHER)
        ]
        counts = [
            items.new_full((), -1) if rounds is None else (rounds >= 0).sum(),
            torch.stack(had).sum(),
            (items != EMPTY).sum(),
        ]
        self._counts.append(torch.stack(counts))

    def shares(self) -> ListedShares | None:
        """Of all that the processes have listed; None where nothing is."""
        mine = torch.stack(self._counts).sum(0).tolist() if self._counts else [0] * 3
        drafted, had, listed = (sum(counts) for counts in zip(*from_all_processes(mine)))
        if not listed:
            return None
        return ListedShares(drafted / listed if drafted >= 0 else None, had / listed)
