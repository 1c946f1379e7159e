"""Texts of items that arrive after training -> vectors, as the run encoded those it was trained on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from recbole.config import Config

from recbole_specgr.system.errors import UserError
from recbole_specgr.text.feature_transform import FeatureTransform
from recbole_specgr.text.features import FITTED_LSA, TRANSFORM
from recbole_specgr.text.lsa import LSA
from recbole_specgr.text.sentence_encoder import SentenceEncoder


def encode_later_texts(config: Config, texts: list[str]) -> np.ndarray:
    """float32 [n, d]: vectors of `texts`, zeros for empty ones.

    Args:
        config: of a run (or of a part of one) that keeps its text features.

    Raises:
        UserError: the run's vectors come from a file; it does not keep its encoder; the encoder can't be had.
    """
    name, run_dir = str(config["text_encoder"]), Path(config["run_dir"])
    if name.endswith((".npz", ".npy")):
        raise UserError(
            f"The run's text vectors come from the file {name}, so that new texts can't be encoded here. Give the new "
            f"items' vectors, made as that file's were, as `features`."
        )
    if not any(texts):
        raise UserError("None of the new items has any text. Check the columns of the items.")
    if name == "lsa":
        vectors = LSA.load(run_dir / FITTED_LSA).encode(texts)
    else:
        encoder = SentenceEncoder(name, config["device"], config["text_precision"])
        with tempfile.TemporaryDirectory() as pieces:
            vectors = encoder.encode(texts, Path(pieces), config["show_progress"])
    return transformed(config, vectors)


def transformed(config: Config, vectors: np.ndarray) -> np.ndarray:
    """`vectors` [n, d] after the run's own `text_pca` and `text_standardise`."""
    path = Path(config["run_dir"]) / TRANSFORM
    if config["text_pca"] is None and not config["text_standardise"]:
        return vectors
    transform = FeatureTransform.load(path)
    if vectors.shape[1] != len(transform.mean):
        raise UserError(
            f"The new items' vectors are {vectors.shape[1]} wide, but the run's encoder {config['text_encoder']} gives "
            f"{len(transform.mean)}."
        )
    return transform(vectors)
