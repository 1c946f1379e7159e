"""k-means whose clusters are about equally large: each centre has a price that is added to its distances."""

import numpy as np

from recbole_specgr.semantic_ids.kmeans import nearest, nearest_few

SLACK = 1.1  # a cluster holds at most so many times its even share


def balanced_kmeans(points: np.ndarray, centres: np.ndarray, rounds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Move `centres` [k, d] to the means of evenly filled clusters of `points` [n, d].

    Since a price belongs to a centre and not to a point, the rule `nearest(points, centres, prices)` holds for points
    that come later, too.  Equal points stay together, so that a cluster can outgrow its share by as many.

    Returns:
        centres float32 [k, d], prices float32 [k], at least 0.
    """
    k, prices = len(centres), np.zeros(len(centres), dtype=np.float32)
    for _ in range(rounds):
        prices = clearing_prices(points, centres, prices)
        index, _ = nearest(points, centres, prices)
        counts = np.bincount(index, minlength=k)
        sums = np.stack([np.bincount(index, weights=column, minlength=k) for column in points.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres).astype(np.float32)
    return centres, clearing_prices(points, centres, prices)


def clearing_prices(points: np.ndarray, centres: np.ndarray, prices: np.ndarray, passes: int = 300) -> np.ndarray:
    """Prices float32 [k] under which no cluster holds more than SLACK times its even share of `points` [n, d].

    An auction (Bertsekas 1988): who is asked for too often raises the price by what makes all points beyond the even
    share prefer their second choice.  (Were it raised for those beyond the capacity alone, prices would creep.)  Where
    points are equal, or after so many passes, clusters may stay larger.

    Args:
        prices: float32 [k] to begin with.
    """
    k = len(centres)
    share, capacity = max(1, len(points) // k), int(np.ceil(SLACK * len(points) / k))
    prices = prices - prices.min()
    index, distance = nearest(points, centres, prices)
    tie = 1e-5 * distance.mean()
    for _ in range(passes):
        counts = np.bincount(index, minlength=k)
        full = np.flatnonzero(counts > capacity)
        if not len(full):
            break
        rows = np.flatnonzero((counts > capacity)[index])  # all others stay where they are: prices only rise
        _, best_two = nearest_few(points[rows], centres, prices, 2)
        margin = best_two[:, 1] - best_two[:, 0]
        order = np.lexsort((margin, index[rows]))  # by cluster, those first who leave most easily
        starts = np.cumsum(counts[full]) - counts[full]
        prices = prices.copy()
        prices[full] += margin[order[starts + counts[full] - share - 1]] + tie
        index[rows], _ = nearest(points[rows], centres, prices)
    return prices
