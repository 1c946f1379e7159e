"""RQ-KMeans: k-means on the leading principal components, then level by level on what is left over."""

from dataclasses import dataclass

import numpy as np
from tqdm import trange

from recbole_specgr.semantic_ids.additive import AdditiveQuantizer
from recbole_specgr.semantic_ids.balance import balanced_kmeans
from recbole_specgr.semantic_ids.kmeans import kmeans, nearest


@dataclass
class RQKMeans(AdditiveQuantizer):
    """Residual k-means: no training, every code in use.

    Without a projection (`components: None`) later levels spend most codes on single outliers and give the bulk of the
    items the same ones, because distances in many dimensions hardly differ.

    Attributes:
        iterations: Lloyd steps a level.
        restarts: random starts a level, of which the best is kept.
        balanced: whether each code of a level has at most 1.1 times (rounded up) its even share of the seen items;
            items whose vectors are equal count as one.
    """

    iterations: int = 50
    restarts: int = 3
    balanced: bool = False

    method = "rqkmeans"

    def _fit_codebooks(self, points: np.ndarray, seed: int, show_progress: bool) -> np.ndarray:
        residual, codebooks = points.copy(), []
        for level in trange(self.levels, desc="RQ-KMeans", unit="level", disable=not show_progress or None):
            centres = kmeans(residual, self.codebook_size, seed + level, self.iterations, self.restarts)
            if self.balanced:
                centres, self.prices[level] = balanced_kmeans(residual, centres)
            codebooks.append(centres)
            residual -= centres[nearest(residual, centres, self.prices[level])[0]]
        return np.stack(codebooks)
