"""MRR@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class MRR(RankMetric):
    """Mean reciprocal rank of the target."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        return 1 / rank
