"""Items that arrive after training, from a table of them to what each part of the model reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.config import Config
from recbole.model.abstract_recommender import SequentialRecommender

from recbole_specgr.data.ids import read_ids
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.semantic_ids import SemanticIds, Tokenizer, load_tokenizer
from recbole_specgr.semantic_ids.fit import IDS
from recbole_specgr.semantic_ids.fit import TOKENIZER as TOKENIZER_FILE
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.text.features import FEATURES, read_kept
from recbole_specgr.text.item_text import FrameTexts, shown, title_field
from recbole_specgr.text.later_texts import encode_later_texts, transformed

_SAMPLE = 2000  # of the run's items that new vectors are compared with
_FEW = 8  # new vectors that say nothing about their space
_NEAR = 0.75  # of the usual cosine with the nearest item: what vectors of the same encoder keep
_TEXT_SETTINGS = ("text_encoder", "text_fields", "text_cleaning", "text_dim", "text_pca", "text_standardise", "seed")
_OTHER_TUPLES = 32  # tuples of codes that are tried for an item whose own is full


@dataclass(frozen=True)
class ServedPart:
    """A model, or one that it is made of, with the folder that keeps what encodes its items.

    Attributes:
        name: "" for a model that is not composite.
        model_class: its class.
        inductive: it can rank items that it was not trained with.
        ids: semantic ids of all the items that it has; None where it has none.
    """

    name: str
    config: Config
    model_class: type
    inductive: bool
    ids: SemanticIds | None = None

    @property
    def folder(self) -> Path:
        return Path(self.config["run_dir"])

    @property
    def label(self) -> str:
        return f"the {self.name} {self.config['model']}" if self.name else str(self.config["model"])


def parts_of(
    model: SequentialRecommender, config: Config, catalogue: Catalogue, name: str = ""
) -> dict[str, ServedPart]:
    """The parts of a model whose items come from its run, by name."""
    if model.part_configs:
        found: dict[str, ServedPart] = {}
        for key, part_config in model.part_configs.items():
            found |= parts_of(model.parts[key], part_config, catalogue, f"{name}/{key}" if name else key)
        return found
    ids = None
    if "semantic_ids" in model.needs:
        ids = SemanticIds.load(Path(config["run_dir"]) / IDS, catalogue.item_tokens)
    return {name: ServedPart(name, config, type(model), model.inductive, ids)}


def check_takes_items(parts: Mapping[str, ServedPart]) -> None:
    """Raise UserError, with the reason, for a model that no items can be added to."""
    for part in parts.values():
        if not part.inductive:
            raise UserError(
                f"{part.label} can't take new items: it has learned a vector (or counts) for each item from training, "
                f"and an item that arrives later has none. Train an inductive model, such as SpecGRPP, UniSRec or "
                f"SemanticKNN, which read an item's text."
            )
        if not issubclass(part.model_class, ItemTables):
            raise UserError(
                f"{part.label} can't take new items: its class {part.model_class.__name__} does not say how (it is no "
                f"recbole_specgr.models.item_tables.ItemTables; docs/extending.md shows how)."
            )


@dataclass(frozen=True)
class ReadItems:
    """New items, ready for the model.

    Attributes:
        tokens, titles: of each.
        new: what each part of the model reads of them.
        ids: of each part that has ids, those of all its items and of these after them.
    """

    tokens: list[str]
    titles: list[str]
    new: dict[str, NewItems]
    ids: dict[str, SemanticIds]


def read_items(
    frame: pd.DataFrame, catalogue: Catalogue, parts: Mapping[str, ServedPart], vectors: np.ndarray | None
) -> ReadItems:
    """What the model needs of new items.

    Args:
        frame: a column with the items and, where there are no `vectors`, one for each text field of the run.
        catalogue: of the items that are there.
        vectors: the items' text vectors `[n, d]`, as the run's encoder gives them.

    Raises:
        UserError: a missing column, an item without a name or named twice, text that can't be encoded, vectors of
            another space, no free semantic id.
    """
    tokens = item_tokens(frame, catalogue.item_field)
    new, ids, encoded = {}, {}, {}
    for name, part in parts.items():
        tokenizer = None if part.ids is None else _tokenizer(part)
        fields, texts = part.config["text_fields"] or [], None
        if vectors is None or set(fields) <= set(frame):
            _check_columns(frame, fields, part)
            texts = FrameTexts(frame, fields, catalogue.field_kinds, catalogue.separator, part.config["text_cleaning"])
        attributes = None if texts is None else texts.attributes
        if tokenizer is None and not (part.folder / FEATURES).is_file():  # it does without text vectors
            new[name] = NewItems(torch.zeros(len(frame), 0), None, attributes)
            continue
        key = [part.config[setting] for setting in _TEXT_SETTINGS]
        if repr(key) not in encoded:
            encoded[repr(key)] = _features(part, texts, vectors, len(frame))
            _warn_of_empty(encoded[repr(key)], tokens, part)
        features = encoded[repr(key)]
        item_ids = None
        if tokenizer is not None and part.ids is not None:
            ids[name] = later_ids(part.ids, tokenizer, features, tokens)
            item_ids = ids[name].tokens[part.ids.n_items :]
        new[name] = NewItems(torch.from_numpy(features), item_ids, attributes)
    return ReadItems(tokens, _titles(frame, catalogue, parts), new, ids)


def item_tokens(frame: pd.DataFrame, item_field: str) -> list[str]:
    """The names of the items in a table. Raises UserError for none, an empty one, or one that is there twice."""
    if item_field not in frame:
        raise UserError(
            f"The new items have no column [{item_field}], which names each; their columns are "
            f"{', '.join(map(str, frame.columns)) or 'none'}.{did_you_mean(item_field, map(str, frame.columns))} "
            f"The run knows fields by the names in its data set's files: rename the columns to these."
        )
    if not len(frame):
        raise UserError("There are no new items: the table has no rows.")
    tokens = read_ids(frame[item_field], f"The new items, column [{item_field}], row")
    if "" in tokens:
        raise UserError(f"Row {tokens.index('') + 1} of the new items has no [{item_field}].")
    repeated = pd.Index(tokens)[pd.Index(tokens).duplicated()]
    if len(repeated):
        raise UserError(f"{len(repeated)} new items stand in the table twice, such as {', '.join(repeated[:3])}.")
    return tokens


def _tokenizer(part: ServedPart) -> Tokenizer:
    file = part.folder / TOKENIZER_FILE
    if not file.is_file():
        origin = part.config["semantic_ids"]
        why = f"its semantic ids come from {origin}, and no tokenizer came with them" if origin else f"{file} is gone"
        raise UserError(
            f"{part.label} can't take new items: {why}, so that there is nothing that encodes an item's text. Train it "
            f"with a tokenizer (setting `tokenizer`), or with the tokenizer's codebooks (`tokenizer.codebooks`)."
        )
    return load_tokenizer(file)


def later_ids(ids: SemanticIds, tokenizer: Tokenizer, features: np.ndarray, tokens: list[str]) -> SemanticIds:
    """`ids` with those of new items, which the tokenizer that made them encodes."""

    def nearest(rows: np.ndarray) -> np.ndarray:
        getLogger().warning(
            f"{len(rows)} new items (such as {', '.join(tokens[row] for row in rows[:3])}) get codes near their own, "
            f"which have no identification digit left."
        )
        return tokenizer.nearest_codes(features[rows], _OTHER_TUPLES)

    return ids.extended(tokenizer.encode(features), np.array(tokens), nearest)


def joined_ids(ids: SemanticIds, tokens: torch.Tensor, names: list[str]) -> SemanticIds:
    """`ids` and those of further items, given as vocabulary tokens `[n, n_digits]`."""
    codes = tokens - torch.tensor([first for first, _ in ids.level_slices])
    all_names = np.concatenate([np.asarray(ids.item_tokens, dtype=object), np.array(names, dtype=object)])
    return SemanticIds(torch.cat([ids.codes, codes]), ids.level_sizes, all_names)


def chosen_ids(ids: SemanticIds, rows: torch.Tensor) -> SemanticIds:
    """The ids of some of the items, the padding item first."""
    return SemanticIds(ids.codes[rows], ids.level_sizes, np.asarray(ids.item_tokens, dtype=object)[rows.numpy()])


def _features(part: ServedPart, texts: FrameTexts | None, vectors: np.ndarray | None, n: int) -> np.ndarray:
    if vectors is None:
        assert texts is not None, "new items have texts where they have no vectors"
        return encode_later_texts(part.config, texts.sentences)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != n:
        raise UserError(f"The vectors of {n} new items must be [{n}, width], but are {list(vectors.shape)}.")
    if not np.isfinite(vectors).all():
        raise UserError("The new items' vectors hold NaN or infinite numbers.")
    vectors = transformed(part.config, vectors)
    _check_space(part, vectors)
    return vectors


def _warn_of_empty(features: np.ndarray, tokens: list[str], part: ServedPart) -> None:
    empty = np.flatnonzero(~features.any(axis=1))
    if len(empty):
        getLogger().warning(
            f"{len(empty)} of {len(tokens)} new items (such as {', '.join(tokens[row] for row in empty[:3])}) have no "
            f"text that {part.config['text_encoder']} can read in {', '.join(part.config['text_fields'] or [])}: their "
            f"vector is zero."
        )


def _check_space(part: ServedPart, vectors: np.ndarray) -> None:
    """Raise UserError for vectors that another encoder made: of another width, or far from all of the run's own."""
    encoder = part.config["text_encoder"]
    if not (part.folder / FEATURES).is_file():
        return
    known = read_kept(part.folder)
    if vectors.shape[1] != known.shape[1]:
        raise UserError(
            f"The new items' vectors are {vectors.shape[1]} wide, but those of {part.label} are {known.shape[1]} wide "
            f"(text_encoder: {encoder}). Encode the items with that encoder."
        )
    if len(vectors) < _FEW:
        return
    own, theirs = _sample(known[1:]), _sample(vectors)
    if not len(own) or not len(theirs):
        return
    among_own = _directions(own) @ _directions(own).T
    np.fill_diagonal(among_own, -1)
    usual = np.quantile(among_own.max(1), 0.05)
    found = np.median((_directions(theirs) @ _directions(own).T).max(1))
    if found < _NEAR * usual:
        raise UserError(
            f"The new items' vectors don't lie where those of {part.label} lie: half of them have a cosine below "
            f"{found:.2f} with the nearest of the run's items, of which 95 % have one above {usual:.2f}. Were they "
            f"made by another encoder than {encoder}, or of other fields?"
        )
    shortest, longest = np.quantile(np.linalg.norm(own, axis=1), [0.01, 0.99])
    length = np.median(np.linalg.norm(theirs, axis=1))
    if not shortest / 4 < length < longest * 4:
        raise UserError(
            f"The new items' vectors are scaled otherwise than those of {part.label}: theirs have a length of about "
            f"{length:.3g}, the run's of {shortest:.3g} to {longest:.3g}. Take them as {encoder} gives them."
        )


def _sample(vectors: np.ndarray) -> np.ndarray:
    """Some of the rows that are not zero."""
    rows = np.linspace(0, len(vectors) - 1, min(_SAMPLE, len(vectors))).astype(int)
    chosen = np.asarray(vectors[rows])
    return chosen[chosen.any(axis=1)]


def _directions(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _check_columns(frame: pd.DataFrame, fields: list[str], part: ServedPart) -> None:
    missing = [field for field in fields if field not in frame]
    if missing:
        raise UserError(
            f"The new items have no column {', '.join(missing)}. {part.label} reads {', '.join(fields)}; the table's "
            f"columns are {', '.join(map(str, frame.columns))}. A column may be empty where there is no text."
        )


def _titles(frame: pd.DataFrame, catalogue: Catalogue, parts: Mapping[str, ServedPart]) -> list[str]:
    text_fields = [field for part in parts.values() for field in part.config["text_fields"] or []]
    known = [field for field in (*catalogue.field_kinds, *text_fields) if field in frame]
    field = title_field(known, text_fields)
    return [""] * len(frame) if field is None else [shown(cell) for cell in frame[field]]
