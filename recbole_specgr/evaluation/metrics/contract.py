"""What every metric derives from: `RankMetric`, `RowMetric` or `ListMetric`, by what its value is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from recbole_specgr.evaluation.rows import Rows


class Metric(ABC):
    """A number that tells how good ranked lists are. In results it stands as `<name>@<k>`, once for each list length.

    Attributes:
        smaller: smaller is better.
        needs_lists: `Rows.lists` has to be kept for it.
        averaged: its value is a mean over rows, so that it is over all rows the mean of its parts.

    Args:
        settings: of the run, such as RecBole's `tail_ratio`.
    """

    smaller: ClassVar[bool] = False
    needs_lists: ClassVar[bool] = True
    averaged: ClassVar[bool] = True

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings

    @classmethod
    def name(cls) -> str:
        """As keys of results and records have it."""
        return cls.__name__.lower()

    @classmethod
    def title(cls) -> str:
        """As tables have it."""
        return cls.__name__

    @abstractmethod
    def value(self, rows: Rows, k: int) -> float:
        """The metric of at least one row, of lists that are cut to their first k places."""


class RowMetric(Metric):
    """A mean over rows."""

    @abstractmethod
    def row_values(self, rows: Rows, k: int) -> np.ndarray:
        """Each row's value, float [N]."""

    def value(self, rows: Rows, k: int) -> float:
        return float(self.row_values(rows, k).mean())


class RankMetric(RowMetric):
    """A mean of what each row's hit is worth, which depends on the target's rank alone.

    What a run keeps of its rows is enough to compute it again, to tell how sure it is, and to compare models by it.
    """

    needs_lists = False

    @abstractmethod
    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        """What a hit is worth, float [n], at each `rank`, float [n], from 1 to k."""

    def of_ranks(self, rank: np.ndarray, k: int) -> np.ndarray:
        """What rows of each rank, as in `Rows.rank`, are worth, float [n]."""
        hit = (rank > 0) & (rank <= k)
        return np.where(hit, self.gain(np.maximum(rank, 1).astype(float), k), 0.0)

    def row_values(self, rows: Rows, k: int) -> np.ndarray:
        return self.of_ranks(rows.rank, k)

    def value(self, rows: Rows, k: int) -> float:
        # The worth of each rank times the share of rows that have it: the same in any order of the rows.
        share = np.bincount(rows.rank) / len(rows)
        return float(share @ self.of_ranks(np.arange(len(share)), k))


class ListMetric(Metric):
    """A value of all lists together, such as how many items they have. Subclasses give `value`."""

    averaged = False


def listed(rows: Rows, k: int) -> np.ndarray:
    """The items in the first k places of all lists, int [M]; places beyond the end of a list are left out."""
    assert rows.lists is not None, "a metric of lists needs lists"
    items: np.ndarray = rows.lists[:, :k]
    return items[items >= 0]


def mean_of_items(values: np.ndarray, rows: Rows, k: int) -> np.ndarray:
    """Each row's sum of `values`, float [n_items], over the first k places, divided by k: float [N]."""
    assert rows.lists is not None, "a metric of lists needs lists"
    items = rows.lists[:, :k]
    found: np.ndarray = np.where(items >= 0, values[np.maximum(items, 0)], 0).sum(1) / k
    return found
