"""k-means by faiss, with the codes that it leaves empty put to use, and principal components."""

import numpy as np

SAMPLE = 256  # larger sets than so many points a centre are sampled: more do not move the centres noticeably
FIRST_ITERATIONS = 5  # of each random start, before the best goes on


def nearest(points: np.ndarray, centres: np.ndarray, prices: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return index (int64 [n]) and squared distance (float32 [n]) of the centre [k, d] nearest to each point [n, d].

    Args:
        prices: float32 [k], at least 0; added to the squared distances.
    """
    index, distance = nearest_few(points, centres, prices, 1)
    return index[:, 0], distance[:, 0]


def nearest_few(
    points: np.ndarray, centres: np.ndarray, prices: np.ndarray | None, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Like `nearest`, for the n nearest centres: int64 and float32 [points, n], the nearest first."""
    import faiss

    if prices is not None and prices.any():  # a price is the square of one more coordinate
        points = np.c_[points, np.zeros(len(points), dtype=np.float32)]
        centres = np.c_[centres, np.sqrt(prices)].astype(np.float32)
    distance, index = faiss.knn(np.ascontiguousarray(points), np.ascontiguousarray(centres), n)
    return index.astype(np.int64), distance


def kmeans(points: np.ndarray, k: int, seed: int, iterations: int = 25, restarts: int = 1) -> np.ndarray:
    """Cluster `points` (float32 [n, d], n >= k) and return the centres, float32 [k, d].

    faiss starts from k random points (in `restarts` tries of a few iterations, the best of which goes on) and splits
    large clusters when others run empty, but the last of its steps can leave empty ones.  Those move to the points
    farthest from their centres, as long as there are distinct points left: with at least k distinct points every
    centre is in use.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    first = min(FIRST_ITERATIONS, iterations) if restarts > 1 else iterations
    centres = _lloyd(points, k, seed, first, restarts)
    if iterations > first:
        centres = _lloyd(points, k, seed, iterations - first, start=centres)
    negligible = 1e-10 * float(np.square(points).sum(axis=1).max())
    for _ in range(k):
        index, _ = nearest(points, centres)
        empty = np.flatnonzero(np.bincount(index, minlength=k) == 0)
        if not len(empty):
            break
        distance = np.square(points - centres[index]).sum(axis=1)
        far = points[np.argsort(-distance, kind="stable")[: np.count_nonzero(distance > negligible)]]
        if not len(far):
            break
        far, rank = np.unique(far, axis=0, return_index=True)
        moved = far[np.argsort(rank)][: len(empty)]
        centres[empty[: len(moved)]] = moved
    return centres


def _lloyd(
    points: np.ndarray, k: int, seed: int, iterations: int, restarts: int = 1, start: np.ndarray | None = None
) -> np.ndarray:
    """Centres float32 [k, d] after so many steps, from `start` or the best of some random starts."""
    import faiss

    algorithm = faiss.Kmeans(
        points.shape[1],
        k,
        niter=iterations,
        nredo=restarts,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE,
    )
    algorithm.train(points, init_centroids=start)
    return np.array(algorithm.centroids).reshape(k, -1)


def principal_components(centred: np.ndarray, n: int) -> np.ndarray:
    """Return the leading `n` principal axes of `centred` (float32 [m, d], mean 0) as columns, float32 [d, n].

    The sign of an axis is such that its largest entry is positive.
    """
    wide = centred.astype(np.float64)
    _, axes = np.linalg.eigh(wide.T @ wide)  # ascending
    axes = axes[:, ::-1][:, :n]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.ascontiguousarray(axes, dtype=np.float32)
