"""Leave-one-out: of each user the last interaction is test, the one before it valid, the rest train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole_specgr.data.splits.contract import PHASES, Interactions, Split
from recbole_specgr.system.errors import UserError

ENOUGH = 3  # interactions of a user from which on there is one for each phase


class LeaveOneOut(Split):
    """The protocol that most published results are under, RecBole's `LS: valid_and_test`.

    Users with fewer than three interactions only train. Valid and test rank all interacted items. Training goes on in
    time after many of the test interactions, so a result is flattered by what could not have been known.

    Raises:
        UserError: `launch_holdout` is set, which needs a time at which training ends.
    """

    name = "leave_one_out"

    def __init__(self, interactions: Interactions, settings: Mapping[str, Any]) -> None:
        if settings["launch_holdout"]:
            raise UserError(
                f"launch_holdout [{settings['launch_holdout']}] holds items back until the cuts of the split by time, "
                f"and [split: {self.name}] has no cuts. Add --launch_holdout=None, or take --split=by_time."
            )
        super().__init__(interactions, settings)

    def divide(self) -> np.ndarray:
        ends = np.searchsorted(self.users, self.users, side="right")
        to_come = ends - 1 - np.arange(len(self.users))  # by the same user
        return np.where(ends - self.starts >= ENOUGH, np.maximum(PHASES.index("test") - to_come, 0), 0)

    def rankable(self, phase: str) -> np.ndarray:
        return self.seen if phase == "train" else self.interacted

    @property
    def protocol(self) -> dict[str, Any]:
        """`min_interactions` is the fewest that a user and an item have: 5 and 5 in data that is 5-core."""
        fewest = {
            side: int(np.unique(ids, return_counts=True)[1].min())
            for side, ids in (("user", self.users), ("item", self.items))
        }
        return {
            "split": self.name,
            "phases": f"test: each user's last interaction; valid: the one before it; train: all others, and all of a "
            f"user with fewer than {ENOUGH}",
            "candidates": "valid and test: all interacted items; never the padding item",
            "targets": "interactions with an earlier one by the same user",
            "min_interactions": fewest,
        }

    def why_empty(self, phase: str) -> str:
        most = int(np.unique(self.users, return_counts=True)[1].max())
        needed = ENOUGH + 1 if phase == "train" else ENOUGH
        return (
            f"[split: {self.name}] needs users with {needed} interactions or more for it, and the most that a user has "
            f"are {most}. Repeated (user, item) pairs count once, after filters such as user_inter_num_interval."
        )

    @classmethod
    def eval_args(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"}
