"""RecBole's metrics over whole lists, for lists that may end early (-1), and without a Python step per list entry."""

import numpy as np
from recbole.evaluator import metrics


def _filled(items: np.ndarray) -> np.ndarray:
    """The items of all lists [N, K] in one row [1, M], without the empty places."""
    return items[items >= 0].reshape(1, -1)


def _by_item(measure, items: np.ndarray, *counts) -> np.ndarray:
    """`measure` of each distinct item, spread back over the lists [N, K]; an empty place counts as 0."""
    distinct, place = np.unique(items, return_inverse=True)
    return measure(distinct[None, :], *counts)[0][place].reshape(items.shape)


class ItemCoverage(metrics.ItemCoverage):
    def get_coverage(self, item_matrix, num_items):
        return super().get_coverage(_filled(item_matrix), num_items)


class ShannonEntropy(metrics.ShannonEntropy):
    def get_entropy(self, item_matrix):
        filled = _filled(item_matrix)
        return super().get_entropy(filled) if filled.size else 0.0


class GiniIndex(metrics.GiniIndex):
    def get_gini(self, item_matrix, num_items):
        filled = _filled(item_matrix)
        return super().get_gini(filled, num_items) if filled.size else 0.0


class AveragePopularity(metrics.AveragePopularity):
    def get_pop(self, item_matrix, item_count):
        return _by_item(super().get_pop, item_matrix, item_count)


class TailPercentage(metrics.TailPercentage):
    def get_tail(self, item_matrix, count_items):
        return _by_item(super().get_tail, item_matrix, count_items)


LIST_METRICS = {
    cls.__name__.lower(): cls for cls in (ItemCoverage, ShannonEntropy, GiniIndex, AveragePopularity, TailPercentage)
}
AVERAGED_LIST_METRICS = (AveragePopularity, TailPercentage)  # means over rows; the others are not
