"""Text vectors of all items: TF-IDF + SVD, a sentence-transformers model, or a ready file keyed by item token."""

import filecmp
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from logging import getLogger
from pathlib import Path
from typing import NamedTuple

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset

from recbole_specgr.data.feature_files import read_feature_file
from recbole_specgr.settings.file_digests import places
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write, link_or_copy
from recbole_specgr.system.fingerprint import content_key
from recbole_specgr.system.processes import first_rank_first
from recbole_specgr.text.feature_transform import FeatureTransform
from recbole_specgr.text.item_text import item_texts
from recbole_specgr.text.lsa import LSA
from recbole_specgr.text.sentence_encoder import SentenceEncoder

FEATURES, FITTED_LSA, TRANSFORM = "text_features.npy", "lsa.npz", "text_transform.npz"  # in a run's folder
_FORMAT = 3  # raise it whenever this file computes other vectors from the same input


def load_text_features(config: Config, dataset: Dataset) -> np.ndarray:
    """Return the text vectors of all items, from the cache where the same ones were computed before.

    `config["text_encoder"]` is one of
        lsa             TF-IDF and truncated SVD of width `text_dim`, fitted on the texts of seen items only;
        FILE.npz        arrays `item_id` [N] (item tokens) and `features` [N, d];
        FILE.npy        `features` [N, d]; the item tokens stand one a line in FILE.items.txt;
        any other text  the name or local path of a sentence-transformers model.
    A file is looked for from the working directory, then in the data set's own folder. Whatever the vectors come from,
    `text_pca` and `text_standardise` then transform them. The run directory, if there is one, keeps them and what was
    fitted on the way, lsa and the transform: for items that arrive later.

    Args:
        config: uses text_encoder, text_fields, text_dim, text_precision, text_pca, text_standardise, seed, cache_path,
            device, show_progress.
        dataset: gives the items' texts and tokens and the bool tensor `seen` [n_items].

    Returns:
        float32 [n_items, d]; zeros for the padding row 0 and for items without text.

    Raises:
        UserError: the named file does not exist, no model of that name can be reached, the file's content
            is malformed or belongs to other items, or no seen item has text.
    """
    seen = np.asarray(dataset.seen, dtype=bool)
    encoded = _encoded(config, dataset, seen)
    transform = FeatureTransform.fit(encoded.vectors, seen, config["text_pca"], config["text_standardise"])
    features = encoded.vectors if transform is None else transform(encoded.vectors)
    if config["run_dir"] and not config["rank"]:
        _keep_with_run(Path(config["run_dir"]), features, encoded, transform)
    return features


def read_kept(run_dir: Path) -> np.ndarray:
    """The vectors float32 [n_items, d] that a run's folder keeps. Raises UserError where the file is damaged."""
    try:
        return np.load(run_dir / FEATURES, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{run_dir / FEATURES} is unreadable ({error}). Train again, or take another run.") from error


class Encoded(NamedTuple):
    """Vectors before the transform, and the cache files of them and of the fitted lsa where there are such."""

    vectors: np.ndarray
    file: Path | None = None
    lsa: Path | None = None


def _keep_with_run(run_dir: Path, features: np.ndarray, encoded: Encoded, transform: FeatureTransform | None) -> None:
    """Give the run's folder what it does not have yet."""
    if not (run_dir / FEATURES).is_file():
        if encoded.file and transform is None:
            link_or_copy(encoded.file, run_dir / FEATURES)
        else:
            with atomic_write(run_dir / FEATURES) as temporary:
                np.save(temporary, features)
    if encoded.lsa and not (run_dir / FITTED_LSA).is_file():
        link_or_copy(encoded.lsa, run_dir / FITTED_LSA)
    if transform and not (run_dir / TRANSFORM).is_file():
        transform.save(run_dir / TRANSFORM)


def _encoded(config: Config, dataset: Dataset, seen: np.ndarray) -> Encoded:
    name = str(config["text_encoder"])
    if name.endswith((".npz", ".npy")):
        tokens, features = _read_file(name, dataset)
        return Encoded(_rows_of_items(dataset, tokens, features, name))
    texts = item_texts(dataset, config["text_fields"])
    if name == "lsa":
        settings = {"width": config["text_dim"], "seed": config["seed"]}
        key = content_key(_FORMAT, "lsa", version("scikit-learn"), settings, texts, seen)
        file = Path(config["cache_path"]) / "text_features" / f"{key}.npy"
        lsa = file.with_suffix(".lsa.npz")
        features = _cached(file, lambda pieces: encode_lsa(texts, seen, **settings, keep=lsa), beside=lsa)
        return Encoded(features, file, lsa)
    try:
        library = version("sentence-transformers")
    except PackageNotFoundError as error:
        raise UserError(
            f"text_encoder {name} needs sentence-transformers: pip install '.[hub]' in the checkout. "
            f"text_encoder: lsa does without."
        ) from error
    encoder = SentenceEncoder(name, config["device"], config["text_precision"])
    key = content_key(_FORMAT, name, library, encoder.precision, _local_state(name), texts)
    file = Path(config["cache_path"]) / "text_features" / f"{key}.npy"
    return Encoded(_cached(file, lambda pieces: encoder.encode(texts, pieces, config["show_progress"])), file)


def encode_lsa(texts: list[str], seen: np.ndarray, width: int, seed: int, keep: Path | None = None) -> np.ndarray:
    """Latent semantic analysis (`recbole_specgr.text.lsa`), fitted on the seen items' texts alone.

    Args:
        texts: n_items sentences, "" where there is none.
        seen: bool [n_items].
        width, seed: as in `LSA.fit`.
        keep: file for what was fitted, which encodes items that arrive later.

    Returns:
        float32 [n_items, width]; zero rows for texts that are empty or share no word with any seen text.

    Raises:
        UserError: fewer than two seen items have text.
    """
    lsa = LSA.fit([text for text, is_seen in zip(texts, seen, strict=True) if is_seen and text], width, seed)
    if keep is not None:
        lsa.save(keep)
    return lsa.encode(texts)


def _local_state(encoder: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a local model's files, so that a model changed in place is encoded anew."""
    folder = Path(encoder)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _cached(path: Path, compute: Callable[[Path], np.ndarray], beside: Path | None = None) -> np.ndarray:
    """What `compute` returns, or returned before. It may keep pieces of unfinished work in the folder it is given, and
    computes again when `beside`, another file that it writes, is gone."""
    pieces = path.with_suffix(".pieces")
    with first_rank_first():
        if path.is_file() and (beside is None or beside.is_file()):
            try:
                return np.load(path, allow_pickle=False)
            except (ValueError, EOFError) as error:
                getLogger().warning(f"{path} is unreadable ({error}); its text vectors are computed again.")
        features = compute(pieces)
        with atomic_write(path) as temporary:
            np.save(temporary, features)
        shutil.rmtree(pieces, ignore_errors=True)
    getLogger().info(f"Text vectors [{features.shape[0]} x {features.shape[1]}] are kept in {path}.")
    return features


def _read_file(name: str, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    path = _find_file(name, dataset)
    try:
        return read_feature_file(path)
    except UserError as error:
        raise UserError(f"text_encoder {name} cannot be used: {error}") from error


def _find_file(name: str, dataset: Dataset) -> Path:
    looked = places(name, Path(dataset.dataset_path))
    found = [path for path in looked if path.is_file()]
    if not found:
        raise UserError(f"text_encoder names the file {name}, but there is none at {' or '.join(map(str, looked))}.")
    if len(found) == 2 and not filecmp.cmp(found[0], found[1], shallow=False):
        getLogger().warning(
            f"The text vectors are those of {found[0]}. Another file {name} is in the working directory: to take that "
            f"one, give --text_encoder=./{name}"
        )
    return found[0]


def _rows_of_items(dataset: Dataset, tokens: np.ndarray, features: np.ndarray, name: str) -> np.ndarray:
    """Bring the file's rows into item id order: float32 [n_items, d]."""
    wanted = np.asarray(dataset.field2id_token[dataset.iid_field], dtype=str)[1:]
    row_of = {token: row for row, token in enumerate(tokens.tolist())}
    rows = np.array([row_of.get(token, -1) for token in wanted.tolist()], dtype=np.int64)
    missing = wanted[rows < 0]
    if len(missing) == len(wanted):
        raise UserError(
            f"text_encoder {name} holds text features for the wrong items: none of the {len(wanted)} items of "
            f"{dataset.dataset_name} (such as {', '.join(wanted[:3])}) is among its {len(tokens)} (such as "
            f"{', '.join(tokens[:3])})."
        )
    if len(missing):
        raise UserError(
            f"text_encoder {name} lacks {len(missing)} of the {len(wanted)} items of {dataset.dataset_name} "
            f"(such as {', '.join(missing[:5])}). Add them to the file, or use another text_encoder."
        )
    table = np.zeros((len(wanted) + 1, features.shape[1]), dtype=np.float32)
    table[1:] = features[rows]
    if not np.isfinite(table).all():
        broken = wanted[~np.isfinite(table[1:]).all(axis=1)]
        raise UserError(f"text_encoder {name} has NaN or infinite features for {', '.join(broken[:5])}.")
    return table
