"""The keys of results, such as `unseen_recall@10`: a part of the rows, a metric, a list length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowPart:
    """Some of the rows of an evaluation.

    Attributes:
        title: as tables have it.
        unseen: its rows' targets do not occur in training; None: all rows.
    """

    title: str
    unseen: bool | None

    def has(self, unseen: np.ndarray) -> np.ndarray:
        """Which rows belong to it, bool [N], of rows whose targets are `unseen`, bool [N]."""
        return np.ones(len(unseen), dtype=bool) if self.unseen is None else unseen == self.unseen


# What stands before the metric's name -> the part.
PARTS = {"": RowPart("overall", None), "in_sample_": RowPart("in-sample", False), "unseen_": RowPart("unseen", True)}


def split_key(key: str) -> tuple[str, str, str]:
    """`unseen_Recall@50` -> the part's prefix, the metric's name and the list length: `unseen_`, `recall`, `50`."""
    name, _, k = str(key).lower().partition("@")
    part = next(part for part in reversed(PARTS) if name.startswith(part))
    return part, name.removeprefix(part), k
