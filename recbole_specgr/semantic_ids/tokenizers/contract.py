"""The contract of a tokenizer: text vectors -> codes.

Each file beside this one holds one tokenizer, which the setting `tokenizer.method` names.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write


@dataclass
class Tokenizer(ABC):
    """Assigns each feature vector `levels` codes below `codebook_size`.

    Subclasses are dataclasses whose fields are their settings.

    Attributes:
        method: the value of the setting `tokenizer.method`, and the name of its group of settings. The class's name,
            where a class does not say otherwise.
        levels: number of codes an item gets (its identification digit not counted).
        codebook_size: number of codes on each level.
    """

    levels: int = 3
    codebook_size: int = 64

    method: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "method" not in vars(cls):
            cls.method = cls.__name__

    def __post_init__(self) -> None:
        if self.levels < 1 or self.codebook_size < 2:
            raise UserError(
                f"tokenizer.levels must be at least 1 and tokenizer.codebook_size at least 2, not {self.levels} and "
                f"{self.codebook_size}."
            )

    @classmethod
    def groups(cls) -> list[str]:
        """The names of the groups of settings that it reads: of the tokenizers that it derives from, then its own."""
        kinds = (kind for kind in reversed(cls.__mro__) if issubclass(kind, Tokenizer) and kind is not Tokenizer)
        return [kind.method for kind in kinds]

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

    @property
    def collaborative_width(self) -> int:
        """Width of the collaborative vectors that `fit` is to be given; 0 for a tokenizer that reads none."""
        return 0

    def fit(
        self,
        features: np.ndarray,
        seed: int,
        show_progress: bool = False,
        device: torch.device | str = "cpu",
        collaborative: np.ndarray | None = None,
    ) -> "Tokenizer":
        """Fit the codebooks.

        Args:
            features: float32 [n, d] of seen items only, without a padding row.
            seed: everything random depends on it alone; the global generators are left as they were.
            show_progress: whether to show a bar.
            device: where to compute.
            collaborative: float32 [n, collaborative_width], what is known of the items from who used them; read by
                tokenizers that say such a width.

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


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.ndim != 2:
        raise UserError(f"A tokenizer takes features of shape [n, d], not {list(features.shape)}.")
    if not np.isfinite(features).all():
        raise UserError("A tokenizer cannot take features that are NaN or infinite.")
    return features
