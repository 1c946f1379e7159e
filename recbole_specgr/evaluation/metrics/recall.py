"""Recall@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class Recall(RankMetric):
    """The share of rows whose target stands among the first k."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        return np.ones_like(rank)
