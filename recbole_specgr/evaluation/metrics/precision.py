"""Precision@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class Precision(RankMetric):
    """The share of the first k places that hold the target."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        return np.full_like(rank, 1 / k)
