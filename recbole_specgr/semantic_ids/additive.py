"""Quantisers whose vectors are sums: one codebook vector a level, in a linear projection of the features."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from recbole_specgr.semantic_ids.kmeans import nearest, principal_components
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.system.errors import UserError

CHUNK = 1024  # points searched at a time


@dataclass
class AdditiveQuantizer(Tokenizer):
    """x is coded, level by level, as the codebook vector nearest to what the levels before have left of it.

    A product quantiser is of this kind, too: its codebooks are 0 outside their own sub-space.

    Attributes:
        components: principal components of the features that are quantised (None: the features themselves).
    """

    components: int | None = 32

    # None until it is fitted, which `Tokenizer` asks before it encodes.
    mean = cast("np.ndarray", None)  # float32 [d]
    projection = cast("np.ndarray", None)  # float32 [d, components], orthonormal columns
    codebooks = cast("np.ndarray", None)  # float32 [levels, codebook_size, components]
    prices = cast("np.ndarray", None)  # float32 [levels, codebook_size], added to squared distances to even out use

    @property
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""
        return len(self.mean)

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: torch.device | str) -> None:
        self.mean = features.mean(axis=0)
        n = self._n_components(features.shape[1])
        centred = features - self.mean
        self.projection = (
            np.eye(len(self.mean), dtype=np.float32)
            if self.components is None and n == len(self.mean)
            else principal_components(centred, n)
        )
        self.prices = np.zeros((self.levels, self.codebook_size), dtype=np.float32)
        self.codebooks = self._fit_codebooks(centred @ self.projection, seed, show_progress)

    def _n_components(self, width: int) -> int:
        return min(self.components or width, width)

    @abstractmethod
    def _fit_codebooks(self, points: np.ndarray, seed: int, show_progress: bool) -> np.ndarray:
        """Codebooks [levels, codebook_size, components] for projected points [n, components].

        May also set `prices` and rotate `projection`.
        """

    def _encode(self, features: np.ndarray) -> np.ndarray:
        residual, codes = (features - self.mean) @ self.projection, []
        for codebook, prices in zip(self.codebooks, self.prices):
            codes.append(nearest(residual, codebook, prices)[0])
            residual -= codebook[codes[-1]]
        return np.stack(codes, axis=1)

    def _reconstruct(self, codes: np.ndarray) -> np.ndarray:
        return sum_of_codes(codes, self.codebooks) @ self.projection.T + self.mean

    def _nearest_codes(self, features: np.ndarray, n: int) -> np.ndarray:
        return nearest_sums((features - self.mean) @ self.projection, self.codebooks, n)

    def state(self) -> dict[str, np.ndarray]:
        """Projection, codebooks and prices, once fitted."""
        if self.codebooks is None:
            return {}
        return {name: getattr(self, name) for name in ("mean", "projection", "codebooks", "prices")}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave; mean and projection may be left out (0 and the identity), and the prices."""
        codebooks = np.asarray(state["codebooks"], dtype=np.float32)
        if codebooks.ndim != 3:
            raise UserError(f"codebooks must be [levels, codebook_size, width], not {list(codebooks.shape)}.")
        width = codebooks.shape[2]
        projection = np.asarray(state.get("projection", np.eye(width)), dtype=np.float32)
        mean = np.asarray(state.get("mean", np.zeros(len(projection))), dtype=np.float32)
        prices = np.asarray(state.get("prices", np.zeros(codebooks.shape[:2])), dtype=np.float32)
        if projection.shape != (len(mean), width) or prices.shape != codebooks.shape[:2]:
            raise UserError(
                f"mean {list(mean.shape)}, projection {list(projection.shape)}, codebooks {list(codebooks.shape)} and "
                f"prices {list(prices.shape)} do not fit together."
            )
        if not all(np.isfinite(part).all() for part in (mean, projection, codebooks, prices)) or (prices < 0).any():
            raise UserError("codebooks, mean and projection must be finite numbers, and prices such from 0 on.")
        self.levels, self.codebook_size = codebooks.shape[:2]
        self.mean, self.projection, self.codebooks, self.prices = mean, projection, codebooks, prices


def sum_of_codes(codes: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    """The vectors float32 [n, d] that `codes` [n, levels] stand for."""
    return sum(codebook[code] for codebook, code in zip(codebooks, codes.T))


def nearest_sums(points: np.ndarray, codebooks: np.ndarray, n: int) -> np.ndarray:
    """Tuples of codes whose sums are near each point, by a beam search of width n over the levels.

    Args:
        points: float32 [m, d].
        codebooks: float32 [levels, K, d].

    Returns:
        int64 [m, at most n, levels], all different for a point, the nearest first.
    """
    return np.concatenate(
        [_nearest_sums(points[start : start + CHUNK], codebooks, n) for start in range(0, max(1, len(points)), CHUNK)]
    )


def _nearest_sums(points: np.ndarray, codebooks: np.ndarray, n: int) -> np.ndarray:
    m = len(points)
    codes, residual = np.zeros((m, 1, 0), dtype=np.int64), points[:, None]
    for codebook in codebooks:
        distance = (codebook**2).sum(1) - 2 * residual @ codebook.T + (residual**2).sum(2, keepdims=True)
        flat = distance.reshape(m, -1)
        best = np.argpartition(flat, min(n, flat.shape[1]) - 1, axis=1)[:, :n]
        best = np.take_along_axis(best, np.take_along_axis(flat, best, axis=1).argsort(axis=1, kind="stable"), axis=1)
        beam, code = best // len(codebook), best % len(codebook)
        codes = np.concatenate([np.take_along_axis(codes, beam[..., None], axis=1), code[..., None]], axis=2)
        residual = np.take_along_axis(residual, beam[..., None], axis=1) - codebook[code]
    return codes
