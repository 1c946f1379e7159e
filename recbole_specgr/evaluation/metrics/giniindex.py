"""GiniIndex@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import ListMetric, listed
from recbole_specgr.evaluation.rows import Rows


class GiniIndex(ListMetric):
    """How unequally the places are given to the items: near 0 where all items have as many, near 1 where few have all.

    RecBole's formula, which counts the padding item as one that has none: n items with as many give 1 / (n + 1).
    """

    smaller = True

    def value(self, rows: Rows, k: int) -> float:
        _, counts = np.unique(listed(rows, k), return_counts=True)
        if not len(counts):
            return 0.0
        place = np.arange(rows.n_items - len(counts) + 1, rows.n_items + 1)  # items without a place come before
        weighted = (2 * place - rows.n_items - 1) * np.sort(counts)
        return float(weighted.sum() / counts.sum() / rows.n_items)
