"""Text vectors as tokenizers want them."""

import numpy as np


def clustered(n: int = 400, width: int = 24, seed: int = 0) -> np.ndarray:
    """Features [n, width] of clusters within clusters: what residual quantisers are made for."""
    rng = np.random.default_rng(seed)
    coarse, fine = rng.normal(size=(12, width)), 0.4 * rng.normal(size=(12, width))
    points = coarse[rng.integers(12, size=n)] + fine[rng.integers(12, size=n)] + 0.1 * rng.normal(size=(n, width))
    return points.astype(np.float32)
