"""MAP@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RankMetric


class MAP(RankMetric):
    """Mean average precision: with one target a row, the same as MRR."""

    def gain(self, rank: np.ndarray, k: int) -> np.ndarray:
        return 1 / rank
