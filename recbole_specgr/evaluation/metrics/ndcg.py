"""NDCG@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class NDCG(RankMetric):
    """Normalised discounted cumulative gain: with one target a row, 1 / log2(rank + 1)."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        discounted: np.ndarray = 1 / np.log2(rank + 1)
        return discounted
