"""ItemCoverage@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import ListMetric, listed
from recbole_specgr.evaluation.rows import Rows


class ItemCoverage(ListMetric):
    """How many items stand in any list, divided by the size of the item table, as RecBole has it."""

    def value(self, rows: Rows, k: int) -> float:
        return len(np.unique(listed(rows, k))) / rows.n_items
