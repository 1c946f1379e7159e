"""RQ-KMeans: k-means on what the levels before have left over."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import trange

from recbole_specgr.semantic_ids.kmeans import kmeans, nearest
from recbole_specgr.semantic_ids.tokenizer import Tokenizer


@dataclass
class RQKMeans(Tokenizer):
    """Residual k-means: no training, every code in use.

    Attributes:
        iterations: Lloyd steps a level.
        restarts: random starts a level, of which the best is kept.
    """

    iterations: int = 50
    restarts: int = 3

    method = "rqkmeans"
    codebooks = None  # float32 [levels, codebook_size, d] once fitted

    @property
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""
        return self.codebooks.shape[2]

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: object) -> None:
        residual, codebooks = features.copy(), []
        for level in trange(self.levels, desc="RQ-KMeans", unit="level", disable=not show_progress):
            codebooks.append(kmeans(residual, self.codebook_size, seed + level, self.iterations, self.restarts))
            residual -= codebooks[-1][nearest(residual, codebooks[-1])[0]]
        self.codebooks = np.stack(codebooks)

    def _encode(self, features: np.ndarray) -> np.ndarray:
        residual, codes = features.copy(), []
        for codebook in self.codebooks:
            codes.append(nearest(residual, codebook)[0])
            residual -= codebook[codes[-1]]
        return np.stack(codes, axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """The codebooks, once fitted."""
        return {} if self.codebooks is None else {"codebooks": self.codebooks}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self.codebooks = np.ascontiguousarray(state["codebooks"])
