"""Hit@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class Hit(RankMetric):
    """The share of rows with a hit among the first k: with one target a row, the same as Recall."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        return np.ones_like(rank)
