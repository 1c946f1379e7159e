"""ShannonEntropy@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import ListMetric, listed
from recbole_specgr.evaluation.rows import Rows


class ShannonEntropy(ListMetric):
    """The entropy of the items' shares of all places, divided by the number of items that have one, as in RecBole."""

    def value(self, rows: Rows, k: int) -> float:
        _, counts = np.unique(listed(rows, k), return_counts=True)
        if not len(counts):
            return 0.0
        share = counts / counts.sum()
        return float(-(share * np.log(share)).sum() / len(counts))
