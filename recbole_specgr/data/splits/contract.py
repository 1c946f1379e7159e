"""The contract of a split: which phase each interaction is in, and what each phase may rank.

Each file beside this one holds one split, which the setting `split` names: `by_time` is `ByTime` of by_time.py.
Everything works on plain numpy arrays and knows nothing of RecBole, so that what importing prints and what a run uses
cannot differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recbole_specgr.data.times import readable_time
from recbole_specgr.system.errors import UserError

PHASES = ("train", "valid", "test")
#: The time at which an item first exists that has no interaction at all.
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Interactions:
    """All interactions of a data set, in the order of its file, which decides between equal times.

    Attributes:
        users, items, times: int64 [N], one interaction each.
        item_tokens: the data set's names of the items, [n_items]; some may have no interaction.
    """

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    item_tokens: np.ndarray

    @cached_property
    def by_user_and_time(self) -> np.ndarray:
        """int64 [N]: the interactions in the order of user and time; equal ones in the order of the file."""
        first, span = int(self.times.min()), int(self.times.max()) - int(self.times.min()) + 1
        if (int(self.users.max()) + 1) * span > np.iinfo(np.int64).max:  # both don't fit into one number
            return np.lexsort((self.times, self.users))
        key = self.users * span + (self.times - first)
        order = np.argsort(key)  # not stable, but three times as fast
        key = key[order]
        tied = np.flatnonzero(key[1:] == key[:-1])
        places = np.union1d(tied, tied + 1)
        order[places] = order[places][np.lexsort((order[places], key[places]))]
        return order


class Split(ABC):
    """The interactions in the order of user, time and line of the file, each with its phase.

    A subclass says in `divide` which phase each interaction is in and in `rankable` what a phase may rank. It may
    also read settings of its own, and let items exist only from some time on: earlier interactions with them are
    dropped.

    Args:
        interactions: all of the data set.
        settings: those of the run; a subclass reads its own.
        exists_from: int64 [n_items], the first time at which an item may be used. None: there is no such limit.

    Attributes:
        name: the value of the setting `split`.
        order: int64 [M], the rows of `interactions` that are left, in the new order.
        users, items, times: int64 [M], these interactions.
        phases: int64 [M], the phase of each, as a place in PHASES.
        starts: int64 [M], the place where the interactions of the same user start.
        targets: bool [M], it is predicted from those of the same user before it. So it has an earlier one.
        seen: bool [n_items], the item occurs in train.
        interacted: bool [n_items], the item has an interaction, be it one that was dropped.
        first_seen: int64 [n_items], when the item first exists; NEVER without an interaction.
    """

    name: str

    def __init__(
        self, interactions: Interactions, settings: Mapping[str, Any], exists_from: np.ndarray | None = None
    ) -> None:
        items, times, n_items = interactions.items, interactions.times, len(interactions.item_tokens)
        self.first_seen = first_times(items, times, n_items)
        self.interacted = self.first_seen < NEVER
        order = interactions.by_user_and_time
        if exists_from is not None:
            self.first_seen = np.maximum(self.first_seen, exists_from)
            order = order[times[order] >= exists_from[items[order]]]
        self.order = order
        self.users, self.items, self.times = interactions.users[order], items[order], times[order]
        begins = np.diff(self.users, prepend=-1) != 0
        self.starts = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
        self.targets = np.arange(len(order)) > self.starts
        self.phases = self.divide()
        self._check_phases()
        self.seen = np.zeros(n_items, dtype=bool)
        self.seen[self.items[self.phases == 0]] = True

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> Split:
        """A split with the attributes that another one had, as `vars` gives them, but with lists for tuples."""
        split = object.__new__(cls)
        vars(split).update(content)
        return split

    @abstractmethod
    def divide(self) -> np.ndarray:
        """The `phases`. Called once, when all attributes above them are there."""

    def _check_phases(self) -> None:
        """Raise UserError unless every interaction is in one of PHASES."""
        found = np.asarray(self.phases)
        if found.shape != self.users.shape or not np.issubdtype(found.dtype, np.integer):
            raise UserError(
                f"[split: {self.name}] divides {len(self.users):,} interactions into phases {found.dtype} "
                f"{list(found.shape)}. Wanted is a whole number for each of them."
            )
        other = found[(found < 0) | (found >= len(PHASES))]
        if len(other):
            raise UserError(
                f"[split: {self.name}] puts {len(other):,} interactions into phase {other[0]}. The phases are "
                f"{', '.join(f'{number} ({name})' for number, name in enumerate(PHASES))}."
            )

    @abstractmethod
    def rankable(self, phase: str) -> np.ndarray:
        """Bool [n_items]: what lists of this phase are made of. Items without an interaction never are."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, Any]:
        """What two results must share of the split to be compared, as plain data. `described` puts it into words."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the statistics of the data set say of the split, as plain data."""
        return {}

    @property
    def train_end(self) -> int | None:
        """The time before which all training interactions lie and all others do not; None where there is none."""
        return None

    @abstractmethod
    def why_empty(self, phase: str) -> str:
        """Sentences, for an error message, that say why a phase has no target and what to do."""

    @classmethod
    @abstractmethod
    def eval_args(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """How RecBole writes this split: its setting `eval_args` without `mode`."""


def described(protocol: Mapping[str, Any]) -> str:
    """In words, how the results of a record were split; `protocol` is the record's."""
    if "phases" in protocol:
        return protocol["phases"]
    # The protocol of the split by time was laid down before there were others: it has the cuts, and no words.
    valid, test = (readable_time(cut) for cut in protocol["split_times"])
    return f"train: before {valid}; valid: before {test}; test: from then on"


def first_times(items: np.ndarray, times: np.ndarray, n_items: int) -> np.ndarray:
    """int64 [n_items]: when each item occurs first, NEVER for an item that does not occur."""
    first = np.full(n_items, NEVER)
    np.minimum.at(first, items, times)
    return first
