"""How alike the items of lists are, and how far the prefixes that lists are made of follow those of the data."""

from __future__ import annotations

import numpy as np

POPULAR = 0.1  # share of the first codes that count as popular: those with the most training interactions


def mean_cosine(lists: np.ndarray, vectors: np.ndarray) -> float:
    """Mean cosine of two different items of a list, over all lists with at least two items.

    Args:
        lists: int [N, K], -1 where there is no item.
        vectors: float [n_items, d].
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.maximum(lengths, 1e-12)).astype(np.float64)
    means = []
    for items in lists:
        found = unit[items[items >= 0]]
        n = len(found)
        if n > 1:
            own = np.square(found).sum()
            means.append((np.square(found.sum(0)).sum() - own) / (n * (n - 1)))
    return float(np.mean(means))


def mean_shared_prefix(lists: np.ndarray, codes: np.ndarray) -> float:
    """Mean number of leading codes that two different items of a list have in common.

    Args:
        lists: as in `mean_cosine`.
        codes: int [n_items, L].
    """
    means = np.zeros(len(lists))
    n = (lists >= 0).sum(1)
    for length in range(1, codes.shape[1] + 1):
        _, prefix = np.unique(codes[:, :length], axis=0, return_inverse=True)
        prefix = prefix.reshape(-1)
        for row, items in enumerate(lists):
            counts = np.unique(prefix[items[items >= 0]], return_counts=True)[1]
            means[row] += (counts * (counts - 1)).sum()
    some = n > 1
    return float((means[some] / (n[some] * (n[some] - 1))).mean())


def first_codes(lists: np.ndarray, codes: np.ndarray, train_items: np.ndarray) -> dict[str, float]:
    """The first codes of what is listed against those of the training interactions.

    Args:
        codes: int [n_items, L].
        train_items: int [M], the item of each training interaction.

    Returns:
        prefix_distance: half the sum of the differences of their shares, from 0, the same, to 1.
        popular_prefix_share: share of what is listed under the popular first codes, and ..._of_data, that of the
            training interactions.
    """
    _, first = np.unique(codes[:, 0], return_inverse=True)
    first = first.reshape(-1)
    number = int(first.max()) + 1
    of_data, of_lists = (
        np.bincount(first[items], minlength=number) / len(items) for items in (train_items, lists[lists >= 0])
    )
    popular = np.argsort(-of_data, kind="stable")[: max(1, round(POPULAR * number))]
    return {
        "prefix_distance": float(np.abs(of_lists - of_data).sum() / 2),
        "popular_prefix_share": float(of_lists[popular].sum()),
        "popular_prefix_share_of_data": float(of_data[popular].sum()),
    }
