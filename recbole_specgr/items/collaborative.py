"""What is known of the items from who used them: vectors of the interactions of the training data."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from recbole_specgr.data.dataset import InductiveDataset


def from_interactions(view: InductiveDataset, width: int) -> np.ndarray:
    """Items that the same users used in training get vectors of large inner products.

    They are the right singular vectors of the matrix of users and items, whose entries are divided by the roots of how
    many items the user and how many users the item has, times their singular values.

    Returns:
        float32 [n_items, width]; 0 for items that nobody used in training, and beyond the rank of the matrix.
    """
    users, items, _ = view.train_interactions
    pairs = np.unique(np.stack([users, items]), axis=1)
    used, column = np.unique(pairs[1], return_inverse=True)
    of_user, of_item = (np.bincount(ids)[ids] for ids in pairs)
    weight = 1 / np.sqrt(of_user * of_item.astype(np.float64))
    vectors = np.zeros((view.item_num, width), dtype=np.float32)
    vectors[used] = reduced(csr_matrix((weight, (pairs[0], column))), width)
    return vectors


def reduced(matrix: csr_matrix | np.ndarray, width: int) -> np.ndarray:
    """Vectors of the columns of a matrix [m, n] whose inner products are as near as can be to those of the columns.

    Returns:
        float32 [n, width]; 0 beyond the rank of the matrix.
    """
    if width < min(matrix.shape):
        start = np.random.default_rng(0).normal(size=min(matrix.shape))  # the same on every call
        _, values, axes = svds(matrix, k=width, v0=start)
    else:
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        _, values, axes = np.linalg.svd(dense, full_matrices=False)
    vectors = np.zeros((matrix.shape[1], width), dtype=np.float32)
    vectors[:, : len(values)] = axes.T * values
    return vectors
