"""What the lists of an evaluation are made of: drafts, and what the user has had already."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.decoding.left_out import among
from recbole_specgr.evaluation.ranking import EMPTY
from recbole_specgr.models.contract import RankedList
from recbole_specgr.system.processes import from_all_processes


@dataclass(frozen=True)
class ListedShares:
    """Shares from 0 to 1.

    Attributes:
        drafted: of the listed items, those that were drafted and accepted; None from a model that does not draft.
        in_history: of the listed items, those that the user's history has.
        targets_in_history: of the targets, those that the user's history has.
    """

    drafted: float | None
    in_history: float
    targets_in_history: float


class ListedItems:
    """Counts lists batch by batch, on the lists' device: no value is read before `shares`."""

    def __init__(self) -> None:
        # Of each batch: drafts, or -1 from a model that makes none; items that the history has; listed items; targets
        # that the history has; targets.
        self._counts: list[Tensor] = []

    def add(self, ranked: RankedList, history: Tensor, targets: Tensor) -> None:
        """Count the lists of a batch.

        Args:
            history: the users' items `[B, S]`, 0 in places that are empty.
            targets: `[B]`.
        """
        items, rounds = ranked.items, ranked.round_of
        counts = [
            items.new_full((), -1) if rounds is None else (rounds >= 0).sum(),
            among(items, history).sum(),
            (items != EMPTY).sum(),
            among(targets[:, None], history).sum(),
            items.new_full((), len(targets)),
        ]
        self._counts.append(torch.stack(counts))

    def shares(self) -> ListedShares | None:
        """Of all that the processes have listed; None where nothing is."""
        mine = torch.stack(self._counts).sum(0).tolist() if self._counts else [0] * 5
        drafted, had, listed, targets_had, targets = (sum(counts) for counts in zip(*from_all_processes(mine)))
        if not listed:
            return None
        return ListedShares(drafted / listed if drafted >= 0 else None, had / listed, targets_had / targets)
