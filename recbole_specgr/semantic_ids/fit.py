"""Semantic ids of a data set: the run's own, a given table, or codes of a tokenizer that is cached or fitted now."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import faiss
import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset

from recbole_specgr.semantic_ids import health
from recbole_specgr.semantic_ids.build import build_tokenizer, load_tokenizer
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.semantic_ids.table_files import read_semantic_ids
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.settings import named_classes
from recbole_specgr.settings.file_digests import places
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.fingerprint import content_key
from recbole_specgr.system.processes import first_rank_first

IDS, TOKENIZER, REPORT = "semantic_ids.npz", "tokenizer.npz", "semantic_ids.json"  # in a run's folder
Collaborative = Callable[[int], np.ndarray]  # a width -> what is known of the items from use, float32 [n_items, width]
_FORMAT = 3  # raise it whenever a tokenizer computes other codes from the same input and settings


def none_known(width: int) -> np.ndarray:
    """Stands for collaborative vectors where a caller has none."""
    raise UserError("This tokenizer reads who used the items, which is not known here. Take another tokenizer.method.")


@dataclass
class MadeIds:
    """Semantic ids with what is known about them.

    Attributes:
        ids: of all items.
        report: what `health.measure` says.
        tokenizer: what encodes items that arrive later; None for a table made elsewhere.
    """

    ids: SemanticIds
    report: dict
    tokenizer: Tokenizer | None

    def save(self, folder: Path) -> None:
        """Write `semantic_ids.npz`, `semantic_ids.json` and, where there is one, `tokenizer.npz`."""
        if self.tokenizer is not None:
            self.tokenizer.save(folder / TOKENIZER)
        with atomic_write(folder / REPORT) as temporary:
            temporary.write_text(json.dumps(self.report, indent=2) + "\n", encoding="utf-8")
        self.ids.save(folder / IDS)


def load_semantic_ids(
    config: Config,
    dataset: Dataset,
    features: np.ndarray | Callable[[], np.ndarray],
    ids_from: str | None = None,
    collaborative: Collaborative = none_known,
) -> SemanticIds:
    """Return the semantic ids of all items.

    A run directory that holds `semantic_ids.npz` keeps its own.  Otherwise they are what `config["semantic_ids"]`
    names, or else the tokenizer that `config["tokenizer"]` describes is fitted on the seen items' features (or taken
    from the cache) and encodes all items.  The run directory, if there is one, receives them (see `MadeIds.save`).

    Args:
        config: uses semantic_ids, tokenizer, seed, run_dir, cache_path, device, show_progress.
        dataset: gives `seen` (bool tensor [n_items]) and the items' tokens.
        features: float32 [n_items, d], row 0 being padding, or what returns them, called only when they are needed.
        ids_from: the file or folder to take in place of the setting `semantic_ids`.
        collaborative: called where the tokenizer reads what is known of the items from who used them.

    Raises:
        CollapsedTokenizer: the codes tell the items apart too badly.
        UserError: wrong settings, more codes than seen items, or ids made for other items.
    """
    run_dir = Path(config["run_dir"]) if config["run_dir"] else None
    with first_rank_first():
        if run_dir and (run_dir / IDS).is_file():
            return SemanticIds.load(run_dir / IDS, _item_tokens(dataset))
        given = ids_from or config["semantic_ids"]
        if given:
            made = take_ids(config, dataset, features, given)
        else:
            made = make_ids(config, dataset, _called(features), collaborative)
        getLogger().info(health.summary(made.report))
        try:
            health.check(made.report, config["tokenizer"]["min_utilisation"])
        except health.CollapsedTokenizer as error:
            codebooks = config["tokenizer"].get("codebooks")
            if given:
                getLogger().warning(f"semantic_ids {given}: {error}")
            elif codebooks:
                raise health.CollapsedTokenizer(
                    f"tokenizer.codebooks {codebooks}: {error} Or were they made for other vectors than text_encoder's?"
                ) from error
            else:
                raise
        if run_dir:
            made.save(run_dir)
    return made.ids


def make_ids(
    config: Config, dataset: Dataset, features: np.ndarray, collaborative: Collaborative = none_known
) -> MadeIds:
    """Ids by a tokenizer fitted on the seen items' features (or read from `tokenizer.codebooks`); see above."""
    seen, group = np.asarray(dataset.seen, dtype=bool), config["tokenizer"]
    given = group.get("codebooks")
    tokenizer = load_tokenizer(given) if given else _fitted(config, features, seen, collaborative)
    try:
        codes = tokenizer.encode(features)
    except UserError as error:
        if not given:
            raise
        raise UserError(f"tokenizer.codebooks {given}: {error}") from error
    ids = SemanticIds.from_codes(codes, tokenizer.codebook_sizes, seen, _item_tokens(dataset), group.get("reserve"))
    return MadeIds(ids, health.measure(ids, seen, features, tokenizer.possible_codes), tokenizer)


def take_ids(
    config: Config,
    dataset: Dataset,
    features: np.ndarray | Callable[[], np.ndarray],
    ids_from: str | None = None,
) -> MadeIds:
    """Ids from the file or folder `ids_from`, or else the one that the setting `semantic_ids` names, with the tokenizer
    beside it if it made them."""
    path = _find(str(ids_from or config["semantic_ids"]), dataset)
    seen = np.asarray(dataset.seen, dtype=bool)
    ids = read_semantic_ids(path, _item_tokens(dataset), seen, config["tokenizer"].get("reserve"))
    tokenizer, vectors = None, None
    if (path.parent / TOKENIZER).is_file():
        vectors = _called(features)
        tokenizer = _maker_of(ids, load_tokenizer(path.parent / TOKENIZER), vectors)
    possible = tokenizer.possible_codes if tokenizer else None
    getLogger().info(f"The semantic ids come from {path}.")
    return MadeIds(ids, health.measure(ids, seen, vectors, possible), tokenizer)


def _maker_of(ids: SemanticIds, tokenizer: Tokenizer, features: np.ndarray) -> Tokenizer | None:
    """The tokenizer, if it gives (almost all of) these items these codes; else None, with a warning."""
    try:
        same = (tokenizer.encode(features[1:]) == ids.codes[1:, :-1].numpy()).all(axis=1).mean()
    except ValueError:  # another width, another number of levels
        same = 0.0
    if same > 0.9:  # not 1: items that came later may have got codes near their own
        return tokenizer
    getLogger().warning(
        f"The tokenizer beside the semantic ids encodes {1 - same:.0%} of the items otherwise, so text_encoder or "
        f"text_fields are not those it was fitted with. It is left aside: no items can be added to the model later."
    )
    return None


def _fitted(config: Config, features: np.ndarray, seen: np.ndarray, collaborative: Collaborative) -> Tokenizer:
    """The tokenizer fitted on the seen items' rows of `features` [n_items, d], from the cache if the same one was
    fitted before. A user's own is always fitted: its code may have changed, which a fingerprint does not cover."""
    tokenizer = build_tokenizer(config["tokenizer"])
    inputs = [np.asarray(features[seen], dtype=np.float32)]
    if tokenizer.collaborative_width:
        inputs.append(collaborative(tokenizer.collaborative_width)[seen])

    def fit() -> Tokenizer:
        return tokenizer.fit(inputs[0], config["seed"], config["show_progress"], config["device"], *inputs[1:])

    if not named_classes.is_ours(named_classes.TOKENIZER, tokenizer.method):
        return fit()
    versions = torch.__version__, faiss.__version__
    key = content_key(_FORMAT, tokenizer, versions, config["seed"], *inputs)
    path = Path(config["cache_path"]) / "tokenizers" / f"{tokenizer.method}-{key}.npz"
    if path.is_file():
        try:
            kept = load_tokenizer(path)
            getLogger().info(f"The {kept.method} tokenizer comes from {path}.")
            return kept
        except UserError as error:
            getLogger().warning(f"{error} It is fitted again.")
    fit().save(path)
    return tokenizer


def _item_tokens(dataset: Dataset) -> np.ndarray:
    return np.asarray(dataset.field2id_token[dataset.iid_field], dtype=str)


def _called(features: np.ndarray | Callable[[], np.ndarray]) -> np.ndarray:
    return features() if callable(features) else features


def _find(name: str, dataset: Dataset) -> Path:
    """The file that `semantic_ids` names, in the data set's folder or from the working directory."""
    looked = places(name, Path(dataset.dataset_path))
    for place in looked:
        path = place / IDS if place.is_dir() else place
        if path.is_file():
            return path
    raise UserError(f"semantic_ids names {name}, but there are no ids at {' or '.join(map(str, looked))}.")
