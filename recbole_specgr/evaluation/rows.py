"""What metrics are computed from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of an evaluation, each a user with one target, and what is known of the items.

    Attributes:
        rank: of the target in the user's list, int [N]: 1 for the first place, 0 where the list does not have it.
        unseen: the target does not occur in training, bool [N].
        user, target: their ids, int [N]; None where only ranks are known.
        lists: item ids, best first, int [N, K], -1 where a list ends; None unless a metric needs them.
        n_items: size of the item table, the padding item included.
        train_counts: how often each item is a target of training, int [n_items]; None without lists.
    """

    rank: np.ndarray
    unseen: np.ndarray
    user: np.ndarray | None = None
    target: np.ndarray | None = None
    lists: np.ndarray | None = None
    n_items: int = 0
    train_counts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rank)

    def select(self, chosen: np.ndarray) -> Rows:
        """The rows where `chosen`, bool [N], is True."""
        columns = {name: getattr(self, name) for name in ("rank", "unseen", "user", "target", "lists")}
        return replace(self, **{name: column[chosen] for name, column in columns.items() if column is not None})
