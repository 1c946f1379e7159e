"""Principal components and standardisation of item features, fitted on seen items only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

_ROWS = 16_384  # in float64 at once
_CONSTANT = 1e-6  # a standard deviation below this share of the largest is none


@dataclass(frozen=True, eq=False)
class FeatureTransform:
    """Reduces features to principal components, then brings every dimension to mean 0 and variance 1.

    Means, axes and variances are those of the seen items with features, so that an item's vector doesn't depend on
    items that arrive later.

    Attributes:
        mean: float64 [d].
        axes: float64 [d, components]; None keeps all d dimensions.
        scale: what each dimension is divided by, float32 [components or d]; infinite for one that is constant, which
            becomes 0. None leaves them as they are.
    """

    mean: np.ndarray
    axes: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def fit(
        cls, features: np.ndarray, seen: np.ndarray, components: int | None = None, standardise: bool = False
    ) -> FeatureTransform | None:
        """Fit it on the seen items of `features` [n_items, d]. Either part is left out by its default; both together
        whiten; without both there is None.

        Args:
            seen: bool [n_items].
            components: lowered, with a warning, to what the seen items can carry.

        Raises:
            UserError: a number of components below 1, or fewer than two seen items have features.
        """
        if components is None and not standardise:
            return None
        if components is not None and (isinstance(components, bool) or components < 1):
            raise UserError(f"text_pca [{components}] must be a whole number from 1, or empty.")
        fitted_on = np.flatnonzero(features.any(axis=1) & seen)
        if len(fitted_on) < 2:
            raise UserError(
                f"text_pca and text_standardise need two seen items with text at least, but there are "
                f"{len(fitted_on)}. Check text_fields and the split."
            )
        mean = features[fitted_on].mean(axis=0, dtype=np.float64)
        axes = None if components is None else _principal_axes(features, fitted_on, mean, components)
        if not standardise:
            return cls(mean, axes)
        deviation = cls(mean, axes)(features)[fitted_on].std(axis=0, dtype=np.float64)
        constant = deviation <= _CONSTANT * deviation.max()
        return cls(mean, axes, np.where(constant, np.inf, deviation).astype(np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """float32 [n, d] -> float32 [n, components or d]. Rows of zeros, items without features, stay zeros."""
        filled = features.any(axis=1)
        width = features.shape[1] if self.axes is None else self.axes.shape[1]
        result = np.zeros((len(features), width), dtype=np.float32)
        for rows in _pieces(np.flatnonzero(filled)):
            centred = features[rows] - self.mean
            result[rows] = centred if self.axes is None else centred @ self.axes
        if self.scale is not None:
            result[filled] /= self.scale
        return result

    def save(self, path: str | os.PathLike) -> None:
        """Write it to `path` (.npz)."""
        arrays: dict[str, Any] = {"mean": self.mean, "axes": self.axes, "scale": self.scale}
        with atomic_write(path) as temporary:
            np.savez(temporary, **{name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def load(cls, path: str | os.PathLike) -> FeatureTransform:
        """Read what `save` wrote. Raises UserError for a file that is cut short or something else."""
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                return cls(arrays["mean"], arrays.get("axes"), arrays.get("scale"))
        except Exception as error:  # a cut zip archive fails with many types
            raise UserError(f"{path} holds no transform of features ({type(error).__name__}: {error}).") from error


def _principal_axes(features: np.ndarray, fitted_on: np.ndarray, mean: np.ndarray, components: int) -> np.ndarray:
    """float64 [d, components]: unit eigenvectors of the covariance, of the largest eigenvalue first."""
    scatter = np.zeros((features.shape[1],) * 2)
    for rows in _pieces(fitted_on):
        centred = features[rows] - mean
        scatter += centred.T @ centred
    values, vectors = np.linalg.eigh(scatter)
    possible = int((values > _CONSTANT**2 * values[-1]).sum())
    if components > possible:
        getLogger().warning(
            f"text_pca {components} is lowered to {possible}, the dimensions in which the {len(fitted_on)} seen "
            f"items with text differ."
        )
    axes = vectors[:, ::-1][:, : min(components, possible)]
    # An axis and its opposite are equally good: the one whose largest entry is positive.
    return axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
