"""TailPercentage@k."""

import numpy as np

from recbole_specgr.evaluation.metrics.contract import RowMetric, mean_of_items
from recbole_specgr.evaluation.rows import Rows

USUAL = 0.1  # RecBole's tail_ratio


class TailPercentage(RowMetric):
    """The share of the first k places that hold an item of the long tail.

    The setting `tail_ratio` says what that is: up to 1 the share of the training items, those that are targets least
    often; above 1, how often such an item is a target at most. As in RecBole, a user's first interaction is no target.
    """

    def row_values(self, rows: Rows, k: int) -> np.ndarray:
        assert rows.train_counts is not None
        ratio, counts = self.settings["tail_ratio"], rows.train_counts
        ratio = ratio if ratio is not None and ratio > 0 else USUAL
        trained = np.flatnonzero(counts)
        if ratio > 1:
            tail = trained[counts[trained] <= ratio]
        else:
            least_first = trained[np.argsort(counts[trained], kind="stable")]
            tail = least_first[: max(int(len(trained) * ratio), 1)]
        in_tail = np.zeros(len(counts))
        in_tail[tail] = 1
        return mean_of_items(in_tail, rows, k)
