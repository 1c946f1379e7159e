"""What every tokenizer (text features -> codes) offers, and where the one of a given name is found."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.files import atomic_write

CLASSES = {
    "rqvae": "RQVAE",
    "rqkmeans": "RQKMeans",
    "opq": "OPQ",
    "hierarchical_kmeans": "HierarchicalKMeans",
}
"""Tokenizer method, which is also the name of its module in this package -> its class."""


@dataclass
class Tokenizer(ABC):
    """Assigns each feature vector `levels` codes below `codebook_size`.

    Subclasses are dataclasses whose fields are their settings.

    Attributes:
        levels: number of codes an item gets (its identification digit not counted).
        codebook_size: number of codes on each level.
    """

    levels: int = 3
    codebook_size: int = 64

    method = ""

    def __post_init__(self) -> None:
        if self.levels < 1 or self.codebook_size < 2:
            raise UserError(
                f"tokenizer.levels must be at least 1 and tokenizer.codebook_size at least 2, not {self.levels} and "
                f"{self.codebook_size}."
            )

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Number of codes of each level."""
        return (self.codebook_size,) * self.levels

    @property
    def possible_codes(self) -> tuple[int, ...] | None:
        """The most codes each level could use, where the fitted structure bounds them; None where it does not."""
        return None

    @property
    def least_items(self) -> int:
        """Number of items a fit takes at least."""
        return self.codebook_size

    def fit(
        self, features: np.ndarray, seed: int, show_progress: bool = False, device: torch.device | str = "cpu"
    ) -> "Tokenizer":
        """Fit the codebooks.

        Args:
            features: float32 [n, d] of seen items only, without a padding row.
            seed: everything random depends on it alone; the global generators are left as they were.
            show_progress: whether to show a bar.
            device: where to compute.

        Raises:
            UserError: there are fewer items than codes, or a feature is not finite.
        """
        features = _checked(features)
        if len(features) < self.least_items:
            raise UserError(
                f"tokenizer.codebook_size {self.codebook_size} is larger than the number of seen items, "
                f"{len(features)}. Lower it (a common choice is the square root of the number of items)."
            )
        self._fit(features, int(seed), bool(show_progress), device)
        return self

    def encode(self, features: np.ndarray) -> np.ndarray:
        """Return the codes int64 [n, levels] of `features` [n, d], old items or new ones."""
        return self._encode(self._encodable(features))

    def reconstruct(self, codes: np.ndarray) -> np.ndarray:
        """Return the feature vectors float32 [n, d] that `codes` [n, levels] stand for."""
        return self._reconstruct(np.asarray(codes, dtype=np.int64))

    def nearest_codes(self, features: np.ndarray, n: int) -> np.ndarray:
        """Return different tuples of codes near each vector of `features` [m, d], the nearest first.

        They serve an item whose own tuple has no identification digit left.

        Returns:
            int64 [m, at most n, levels].
        """
        return self._nearest_codes(self._encodable(features), n)

    def _encodable(self, features: np.ndarray) -> np.ndarray:
        if not self.state():
            raise RuntimeError(f"The {self.method} tokenizer has to be fitted or loaded before it can encode.")
        features = _checked(features)
        if features.shape[1] != self.n_features:
            raise UserError(
                f"The {self.method} tokenizer takes vectors of width {self.n_features}, not {features.shape[1]}."
            )
        return features

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""

    @abstractmethod
    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: torch.device | str) -> None: ...

    @abstractmethod
    def _encode(self, features: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _reconstruct(self, codes: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def _nearest_codes(self, features: np.ndarray, n: int) -> np.ndarray: ...

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as plain arrays; empty before that."""

    @abstractmethod
    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""

    def save(self, path: str | os.PathLike) -> None:
        """Write method, settings (JSON) and the arrays of the state to `path` (.npz)."""
        settings, state = json.dumps(asdict(self)), dict[str, Any](self.state())
        with atomic_write(path) as temporary:
            np.savez(temporary, method=np.array(self.method), settings=np.array(settings), **state)


def build_tokenizer(group: Mapping) -> Tokenizer:
    """Build the tokenizer that the settings group `tokenizer:` describes.

    `method` names it; the keys of its own group (named like the method) and the shared ones beside it are its settings.

    Raises:
        UserError: there is no such method, or it has no such setting.
    """
    method = str(group["method"])
    cls = tokenizer_class(method)
    known = {field.name for field in fields(cls)}
    own = dict(group.get(method) or {})
    unknown = sorted(set(own) - known)
    if unknown:
        raise UserError(f"tokenizer.{method} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}.")
    shared = {key: value for key, value in group.items() if key in ("levels", "codebook_size")}
    return cls(**{**shared, **own})


def tokenizer_class(method: str) -> type[Tokenizer]:
    """Find the class of a tokenizer method; UserError, with near names, when there is none."""
    if method not in CLASSES:
        raise UserError(
            f"tokenizer.method {method} is unknown; there are {', '.join(CLASSES)}.{did_you_mean(method, CLASSES)}"
        )
    return getattr(import_module(f"recbole_specgr.semantic_ids.{method}"), CLASSES[method])


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """Read a fitted tokenizer from a file that `Tokenizer.save` wrote, or codebooks made elsewhere.

    The latter are an .npz without `method`, of an array `codebooks` [levels, codebook_size, width] of residual (or
    product) quantisation and, where that is not done on the features themselves, `mean` [d] and `projection`
    [d, width] (docs/semantic_ids.md).

    Raises:
        UserError: there is no such file, or it is no tokenizer or is cut short.
    """
    if not Path(path).is_file():
        raise UserError(f"There is no tokenizer at {path}.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "method" not in arrays and "codebooks" in arrays:
                tokenizer = tokenizer_class("rqkmeans")(*arrays["codebooks"].shape[:2])
                tokenizer.load_state(arrays)
                return tokenizer
            tokenizer = tokenizer_class(str(arrays["method"]))(**json.loads(str(arrays["settings"])))
            tokenizer.load_state(arrays)
    except Exception as error:  # a cut zip archive fails with many types
        raise UserError(f"{path} holds no tokenizer ({type(error).__name__}: {error}).") from error
    return tokenizer


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim != 2:
        raise UserError(f"A tokenizer takes features of shape [n, d], not {list(features.shape)}.")
    if not np.isfinite(features).all():
        raise UserError("A tokenizer cannot take features that are NaN or infinite.")
    return features
