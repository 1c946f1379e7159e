"""RQ-KMeans: k-means on the leading principal components, then level by level on what is left over."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import trange

from recbole_specgr.semantic_ids.kmeans import kmeans, nearest, principal_components
from recbole_specgr.semantic_ids.tokenizer import Tokenizer


@dataclass
class RQKMeans(Tokenizer):
    """Residual k-means: no training, every code in use.

    Attributes:
        components: principal components of the features that are quantised (None: the features themselves). In many
            dimensions later levels spend most codes on single outliers and give the bulk of the items the same ones.
        iterations: Lloyd steps a level.
        restarts: random starts a level, of which the best is kept.
    """

    components: int | None = 32
    iterations: int = 50
    restarts: int = 3

    method = "rqkmeans"
    mean = None  # float32 [d] once fitted
    projection = None  # float32 [d, components]
    codebooks = None  # float32 [levels, codebook_size, components]

    @property
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""
        return len(self.mean)

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: object) -> None:
        self.mean = features.mean(axis=0)
        width = features.shape[1]
        if self.components is None:
            self.projection = np.eye(width, dtype=np.float32)
        else:
            self.projection = principal_components(features - self.mean, min(self.components, width))
        residual, codebooks = (features - self.mean) @ self.projection, []
        for level in trange(self.levels, desc="RQ-KMeans", unit="level", disable=not show_progress):
            codebooks.append(kmeans(residual, self.codebook_size, seed + level, self.iterations, self.restarts))
            residual -= codebooks[-1][nearest(residual, codebooks[-1])[0]]
        self.codebooks = np.stack(codebooks)

    def _encode(self, features: np.ndarray) -> np.ndarray:
        residual, codes = (features - self.mean) @ self.projection, []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook)[0])
            residual -= codebook[codes[-1]]
        return np.stack(codes, axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """Projection and codebooks, once fitted."""
        if self.codebooks is None:
            return {}
        return {"mean": self.mean, "projection": self.projection, "codebooks": self.codebooks}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self.mean, self.projection, self.codebooks = state["mean"], state["projection"], state["codebooks"]
