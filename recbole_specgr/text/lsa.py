"""Latent semantic analysis: fitted once on the texts of seen items, applied to those and to all that come later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.text.words import word_pattern

_TERMS = 50_000  # the most frequent: word pairs of large catalogues come in millions


@dataclass(frozen=True, eq=False)
class LSA:
    """Sublinear TF-IDF of words and word pairs, projected on singular vectors, rows of unit length.

    In scripts that put no blanks between words (Chinese, Japanese, Thai, ...) each character counts as a word, so that
    terms are characters and pairs of neighbouring characters.

    Attributes:
        terms: words and word pairs, in the order of the columns below.
        idf: their inverse document frequencies, float32 [n_terms].
        axes: right singular vectors, float32 [width, n_terms].
    """

    terms: list[str]
    idf: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, texts: list[str], width: int, seed: int) -> LSA:
        """Take vocabulary, document frequencies and singular vectors from `texts`, none of them empty.

        Args:
            width: number of singular vectors; lowered, with a warning, to what the texts can carry.
            seed: of the randomised SVD.

        Raises:
            UserError: fewer than two texts.
        """
        from sklearn.decomposition import TruncatedSVD

        if len(texts) < 2:
            raise UserError(
                f"text_encoder lsa needs at least two seen items with text, but there are {len(texts)}. "
                f"Check text_fields and the split."
            )
        vectorizer = _vectorizer(max_features=_TERMS)
        counts = vectorizer.fit_transform(texts)
        possible = min(counts.shape)
        if width > possible:
            getLogger().warning(
                f"text_dim {width} is lowered to {possible}: the {counts.shape[0]} seen texts hold "
                f"{counts.shape[1]} terms."
            )
        svd = TruncatedSVD(min(width, possible), random_state=seed).fit(counts)
        terms = vectorizer.get_feature_names_out().tolist()
        return cls(terms, vectorizer.idf_.astype(np.float32), svd.components_.astype(np.float32))

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [n, width]; zero rows for texts that are empty or share no word with those it was fitted on."""
        vectorizer = _vectorizer(vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        features = np.asarray(vectorizer.transform(texts) @ self.axes.T, dtype=np.float32)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        return np.divide(features, length, out=np.zeros_like(features), where=length > 1e-6)

    def save(self, path: str | os.PathLike) -> None:
        """Write it to `path` (.npz)."""
        terms = np.frombuffer("\n".join(self.terms).encode("utf-8"), dtype=np.uint8)  # no term holds a line break
        with atomic_write(path) as temporary:
            np.savez(temporary, terms=terms, idf=self.idf, axes=self.axes)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LSA:
        """Read what `save` wrote. Raises UserError where there is no such file or it is cut short."""
        if not Path(path).is_file():
            raise UserError(f"There is no fitted lsa at {path}.")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(arrays["terms"].tobytes().decode("utf-8").split("\n"), arrays["idf"], arrays["axes"])
        except Exception as error:  # a cut zip archive fails with many types
            raise UserError(f"{path} holds no fitted lsa ({type(error).__name__}: {error}).") from error


def _vectorizer(**settings):
    from sklearn.feature_extraction.text import TfidfVectorizer

    settings |= {"token_pattern": word_pattern(), "ngram_range": (1, 2), "sublinear_tf": True, "dtype": np.float32}
    return TfidfVectorizer(**settings)
