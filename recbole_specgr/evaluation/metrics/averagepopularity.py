"""AveragePopularity@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RowMetric, mean_of_items
from recbole_specgr.evaluation.rows import Rows


class AveragePopularity(RowMetric):
    """How often the first k items are targets in training, on average; a place beyond the end of a list counts as 0.

    As in RecBole, a user's first interaction is no target and does not count.
    """

    smaller = True

    def row_values(self, rows: Rows, k: int) -> np.ndarray:
        assert rows.train_counts is not None
        return mean_of_items(rows.train_counts, rows, k)
