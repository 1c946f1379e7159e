"""Texts -> vectors by a sentence-transformers model, in pieces that survive a run that is killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.hub import reach_hub
from recbole_specgr.system.precisions import DTYPES

_PIECE = 4096  # texts a file
_BATCH_TOKENS = 1 << 16  # tokens a batch, padding included
_CHARACTERS = 3  # a token has at least so many, roughly


class SentenceEncoder:
    """The sentence-transformers model `name` (a hub name or a local path), loaded when it is first needed.

    Args:
        precision: `bf16` or `fp16` multiply in that precision on a GPU; on a CPU everything is `fp32`.

    Raises:
        UserError: no such precision.
    """

    def __init__(self, name: str, device: object = "cpu", precision: str = "fp32"):
        if precision not in DTYPES:
            raise UserError(f"text_precision [{precision}] must be one of {', '.join(DTYPES)}.")
        self.name, self.device = name, torch.device(str(device))
        self.precision = precision if self.device.type == "cuda" else "fp32"

    def encode(self, texts: list[str], folder: Path, show_progress: bool = True) -> np.ndarray:
        """Vectors of `texts`, as the model gives them (not normalised); zeros for empty texts.

        Texts of like length go together, the longest first, in batches of a like number of tokens. Every few thousand
        vectors are written to `folder`; a later call with the same texts and folder goes on from there.

        Returns:
            float32 [n, d].

        Raises:
            UserError: no text at all, a model that is found neither locally nor on the hub, or a precision that
                overflows.
        """
        filled = np.array([row for row, text in enumerate(texts) if text], dtype=np.int64)
        if len(filled) == 0:
            raise UserError("No item has text, so there is nothing to encode. Check text_fields.")
        lengths = np.array([len(texts[row]) for row in filled])
        order = filled[np.argsort(-lengths, kind="stable")]
        features = np.zeros((len(texts), 0), dtype=np.float32)
        with tqdm(total=len(order), desc="text vectors", unit="item", disable=not show_progress) as bar:
            for start in range(0, len(order), _PIECE):
                rows = order[start : start + _PIECE]
                path = folder / f"{start // _PIECE:06}.npy"
                vectors = _kept(path, len(rows))
                if vectors is None:
                    vectors = self._encode_piece([texts[row] for row in rows], bar.update)
                    with atomic_write(path) as temporary:
                        np.save(temporary, vectors)
                else:
                    bar.update(len(rows))
                if not features.shape[1]:  # the first vectors say how wide they are
                    features = np.zeros((len(texts), vectors.shape[1]), dtype=np.float32)
                features[rows] = vectors
        return features

    def _encode_piece(self, texts: list[str], progress: Callable[[int], Any]) -> np.ndarray:
        longest = len(texts[0]) // _CHARACTERS + 2
        tokens = min(longest, self._model.max_seq_length or longest)
        batch = int(np.clip(_BATCH_TOKENS // tokens, 8, 512))
        dtype = DTYPES[self.precision]
        vectors = []
        with torch.autocast(self.device.type, dtype) if dtype is not torch.float32 else nullcontext():
            for start in range(0, len(texts), batch):
                some = texts[start : start + batch]
                found = self._model.encode(some, batch_size=batch, show_progress_bar=False, convert_to_tensor=True)
                vectors.append(found.float().cpu().numpy())
                progress(len(some))
        found = np.concatenate(vectors)
        if not np.isfinite(found).all():
            raise UserError(
                f"text_encoder {self.name} gives NaN or infinite vectors in {self.precision}. Set text_precision to "
                f"{'bf16 or fp32' if self.precision == 'fp16' else 'fp32'}."
            )
        return found

    @cached_property
    def _model(self):
        """The SentenceTransformer; the hub is asked only where it is not local, and not for long."""
        from sentence_transformers import SentenceTransformer  # not earlier: it takes seconds

        name, address = self.name, "the hub"
        try:
            return SentenceTransformer(name, device=str(self.device), local_files_only=True)
        except Exception as error:  # many types: the model's own code runs here, too
            if Path(name).is_dir():
                raise UserError(f"text_encoder {name} cannot be loaded ({type(error).__name__}: {error}).") from error
        try:
            address = reach_hub()
            return SentenceTransformer(name, device=str(self.device))
        except Exception as error:
            raise UserError(
                f"text_encoder {name} is no local model, none that was fetched before, and could not be fetched from "
                f"{address} ({type(error).__name__}: {error}). Give the path of a downloaded sentence-transformers "
                f"model, or text_encoder: lsa (needs no download), or an .npz with the arrays item_id and features."
            ) from error


def _kept(path: Path, rows: int) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        vectors = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        getLogger().warning(f"{path} is unreadable ({error}); its text vectors are computed again.")
        return None
    return vectors if vectors.ndim == 2 and len(vectors) == rows else None
