"""Metrics of rows with one target, from the target's rank alone: what `ranks.npz` keeps is enough for all of them."""

from collections.abc import Callable

import numpy as np

PARTS = {"": None, "in_sample_": False, "unseen_": True}  # key prefix -> the rows' unseen flag, None: all rows

# A hit at `rank` (1 = first) among the first k is worth:
GAINS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "recall": lambda rank, k: np.ones_like(rank),
    "hit": lambda rank, k: np.ones_like(rank),
    "precision": lambda rank, k: np.full_like(rank, 1 / k),
    "ndcg": lambda rank, k: 1 / np.log2(rank + 1),
    "mrr": lambda rank, k: 1 / rank,
    "map": lambda rank, k: 1 / rank,
}


def row_values(rank: np.ndarray, metric: str, k: int) -> np.ndarray:
    """Each row's value of `metric`@k, float [N].

    Args:
        rank: the targets' ranks [N], 0 where the target is not in the list.

    Raises:
        KeyError: a metric that is not a function of the rank (see GAINS).
    """
    hit = (rank > 0) & (rank <= k)
    return np.where(hit, GAINS[metric](np.maximum(rank, 1).astype(float), k), 0.0)


def in_part(unseen: np.ndarray, part: str) -> np.ndarray:
    """The rows of a part: BoolArray [N]."""
    flag = PARTS[part]
    return np.ones(len(unseen), dtype=bool) if flag is None else unseen == flag


def rank_metrics(rank: np.ndarray, unseen: np.ndarray, metrics: list[str], topk: list[int]) -> dict[str, float]:
    """The record's metrics that ranks determine, unrounded: `recall@10`, `unseen_recall@10`, ... and both counts.

    Args:
        rank: [N], 0 where the target is not in the list.
        unseen: BoolArray [N].
        metrics: names; those that ranks do not determine are left out.
    """
    result: dict[str, float] = {"in_sample_count": int((~unseen).sum()), "unseen_count": int(unseen.sum())}
    for metric in metrics:
        if metric not in GAINS:
            continue
        for k in topk:
            values = row_values(rank, metric, k)
            for part in PARTS:
                chosen = in_part(unseen, part)
                if chosen.any():
                    result[f"{part}{metric}@{k}"] = float(values[chosen].mean())
    return result
