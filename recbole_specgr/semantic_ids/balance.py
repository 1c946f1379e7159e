"""k-means whose clusters are about equally large: of points alone, or by prices that hold for later points, too."""

from logging import getLogger

import numpy as np
from scipy.optimize import linear_sum_assignment

from recbole_specgr.semantic_ids.kmeans import kmeans, nearest, nearest_few

SLACK = 1.1  # a cluster holds at most so many times its even share


def even_clusters(points: np.ndarray, k: int, seed: int, rounds: int = 5) -> np.ndarray:
    """Cluster a few hundred `points` [n, d] so that none of the k clusters has more than ceil(n / k): k-means, whose
    points are assigned together at the least cost.

    Returns:
        int64 [n], the cluster of each point.
    """
    centres, places = kmeans(points, k, seed), -(-len(points) // k)
    for _ in range(rounds):
        cost = np.square(points[:, None] - centres).sum(2)
        cluster = linear_sum_assignment(np.repeat(cost, places, axis=1))[1] // places
        filled = np.unique(cluster)
        centres[filled] = [points[cluster == one].mean(0) for one in filled]
    return cluster.astype(np.int64)


def balanced_kmeans(points: np.ndarray, centres: np.ndarray, rounds: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Move `centres` [k, d] to the means of evenly filled clusters of the distinct rows of `points` [n, d].

    Since a price belongs to a centre and not to a point, the rule `nearest(points, centres, prices)` holds for points
    that come later, too.  Equal points are bound to stay together, so they count as one.

    Returns:
        centres float32 [k, d], prices float32 [k], at least 0.
    """
    points = np.unique(points, axis=0)
    k, prices = len(centres), np.zeros(len(centres), dtype=np.float32)
    for _ in range(rounds):
        prices = clearing_prices(points, centres, prices)
        index, _ = nearest(points, centres, prices)
        counts = np.bincount(index, minlength=k)
        sums = np.stack([np.bincount(index, weights=column, minlength=k) for column in points.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres).astype(np.float32)
    return centres, clearing_prices(points, centres, prices)


def clearing_prices(points: np.ndarray, centres: np.ndarray, prices: np.ndarray, passes: int = 20_000) -> np.ndarray:
    """Prices float32 [k] under which no cluster holds more than ceil(SLACK * n / k) of the distinct `points` [n, d].

    An auction (Bertsekas 1988) whose passes alternate.  In one, each cluster that is too large raises its price until
    all points beyond the even share prefer their second choice.  (Raised for those beyond the capacity alone, prices
    would creep.)  In the other, all that are too large raise theirs by the same amount until as many points prefer one
    that is not: else neighbours that are all too large would hand points to and fro in small steps.

    Args:
        prices: float32 [k] to begin with.
        passes: points that differ by no more than rounding errors could go on for ever; after so many passes clusters
            may stay larger, with a warning.
    """
    k = len(centres)
    share, capacity = max(1, len(points) // k), int(np.ceil(SLACK * len(points) / k))
    prices = (prices - prices.min()).astype(np.float32)
    index, cost = nearest(points, centres, prices)
    tie = 1e-5 * cost.mean()
    for number in range(passes):
        counts = np.bincount(index, minlength=k)
        full = counts > capacity
        if not full.any():
            return prices
        rows = np.flatnonzero(full[index])  # all others stay where they are: prices only rise
        if number % 2:
            _, best_two = nearest_few(points[rows], centres, prices, 2)
            margin = best_two[:, 1] - best_two[:, 0]
            order = np.lexsort((margin, index[rows]))  # by cluster, those first who leave most easily
            starts = np.cumsum(counts[full]) - counts[full]
            prices[full] += margin[order[starts + counts[full] - share - 1]] + tie
        else:
            _, outside = nearest(points[rows], centres[~full], prices[~full])
            leaving = int((counts[full] - share).sum()) - 1
            prices[full] += np.partition(outside - cost[rows], leaving)[leaving] + tie
        index[rows], cost[rows] = nearest(points[rows], centres, prices)
    getLogger().warning(
        f"balanced: the largest of {k} clusters still holds {np.bincount(index).max()} distinct points, not {capacity}."
    )
    return prices
