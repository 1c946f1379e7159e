"""Principal components and standardisation of item features, fitted on seen items only."""

from __future__ import annotations

from logging import getLogger

import numpy as np

from recbole_specgr.errors import UserError

_ROWS = 16_384  # in float64 at once
_CONSTANT = 1e-6  # a standard deviation below this share of the largest is none


def transform_features(
    features: np.ndarray, seen: np.ndarray, components: int | None = None, standardise: bool = False
) -> np.ndarray:
    """Reduce `features` [n_items, d] to principal components, then bring every dimension to mean 0 and variance 1.

    Either is left out by its default; both together whiten. Means, axes and variances are those of the seen items with
    features, so that an item's vector doesn't depend on items that arrive later. A dimension that is constant over
    them becomes 0. Rows of zeros, items without features, stay zeros.

    Args:
        seen: bool [n_items].
        components: lowered, with a warning, to what the seen items can carry.

    Returns:
        float32 [n_items, components or d]; without components and standardise, `features` itself.

    Raises:
        UserError: a number of components below 1, or fewer than two seen items have features.
    """
    if components is None and not standardise:
        return features
    if components is not None and (isinstance(components, bool) or components < 1):
        raise UserError(f"text_pca [{components}] must be a whole number from 1, or empty.")
    filled = features.any(axis=1)
    fitted_on = np.flatnonzero(filled & seen)
    if len(fitted_on) < 2:
        raise UserError(
            f"text_pca and text_standardise need two seen items with text at least, but there are {len(fitted_on)}. "
            f"Check text_fields and timestamp_split."
        )
    mean = features[fitted_on].mean(axis=0, dtype=np.float64)
    axes = None if components is None else _principal_axes(features, fitted_on, mean, components)
    result = np.zeros((len(features), features.shape[1] if axes is None else axes.shape[1]), dtype=np.float32)
    for rows in _pieces(np.flatnonzero(filled)):
        centred = features[rows] - mean
        result[rows] = centred if axes is None else centred @ axes
    if standardise:
        deviation = result[fitted_on].std(axis=0, dtype=np.float64)
        constant = deviation <= _CONSTANT * deviation.max()
        result[filled] /= np.where(constant, np.inf, deviation).astype(np.float32)
    return result


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
