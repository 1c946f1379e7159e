"""Named item fields of a RecBole dataset -> one sentence an item, cleaned as the paper cleans Amazon Reviews 2023."""

import html
import re
from collections.abc import Callable, Sequence
from logging import getLogger

import numpy as np
from recbole.data.dataset import Dataset
from recbole.utils import FeatureType

from recbole_specgr.errors import UserError

_TAG = re.compile(r"<[^>]+>")
_BREAK = re.compile(r"[\n\r\t]")
_BLANKS = re.compile(r" +")
_NON_ASCII = re.compile(r"[^\x00-\x7F]")


def clean_text(text: str) -> str:
    """Resolve HTML entities, drop tags; line breaks, tabs and non-ASCII characters become blanks."""
    text = _TAG.sub("", html.unescape(text).strip())
    return _NON_ASCII.sub(" ", _BLANKS.sub(" ", _BREAK.sub(" ", text)))


def item_texts(dataset: Dataset, fields: Sequence[str]) -> list[str]:
    """Write the sentence of every item from its `fields`, in their order.

    A text ends with a blank, a list is joined by ", " and ends with ". ", a number ends with ". ". A `token` field is
    one text. A `token_seq` field is a list, unless the data set's `seq_separator` is a blank: its "tokens" then are
    the words of one text, which is put together again.

    Args:
        dataset: a dataset whose item features are loaded.
        fields: names of item features.

    Returns:
        n_items sentences in item id order; "" for the padding item 0 and for items without text (which are counted in
        a warning).

    Raises:
        UserError: no field is named, or a field is not among the loaded item features.
    """
    if isinstance(fields, str):
        fields = [fields]
    if not fields:
        raise UserError("text_fields is empty: name the item fields whose text describes an item.")
    feature = dataset.get_item_feature()
    missing = [field for field in fields if field not in feature]
    if missing:
        known = [field for field in feature if field != dataset.iid_field]
        raise UserError(
            f"text_fields names {', '.join(missing)}, but the item features loaded from data set "
            f"{dataset.dataset_name} are {', '.join(known) or 'none'}. Correct text_fields, or load the column "
            f"(load_col: item: [...])."
        )
    parts = [_field_texts(dataset, field, feature[field].numpy()) for field in fields]
    sentences = [_BLANKS.sub(" ", "".join(row)).strip() for row in zip(*parts, strict=True)]
    sentences[0] = ""
    _warn_of_empty(dataset, sentences, fields)
    return sentences


def _field_texts(dataset: Dataset, field: str, values: np.ndarray) -> list[str]:
    """Texts of one field, with its ending; `values` is [n_items] or [n_items, longest list]."""
    kind = dataset.field2type[field]
    if kind == FeatureType.TOKEN:
        # clean each distinct text once
        texts = np.array([_ended(clean_text(str(token)), " ") for token in dataset.field2id_token[field]], dtype=object)
        texts[0] = ""
        return texts[values].tolist()
    if kind == FeatureType.TOKEN_SEQ:
        tokens = np.array([str(token) for token in dataset.field2id_token[field]], dtype=object)
        rows = (tokens[row[row > 0]] for row in values)
        if dataset.config["seq_separator"] == " ":
            return [_ended(clean_text(" ".join(row)), " ") for row in rows]
        return _joined(rows, clean_text)
    if kind == FeatureType.FLOAT:
        return [_ended(_number(value), ". ") for value in values]
    return _joined(values, _number)


def _joined(rows, text_of: Callable) -> list[str]:
    return [_ended(", ".join(filter(None, map(text_of, row))), ". ") for row in rows]


def _ended(text: str, end: str) -> str:
    return text + end if text else ""


def _number(value: np.floating) -> str:
    return np.format_float_positional(value, trim="-") if np.isfinite(value) else ""


def _warn_of_empty(dataset: Dataset, sentences: list[str], fields: Sequence[str]) -> None:
    empty = [item for item, sentence in enumerate(sentences) if not sentence and item > 0]
    if empty:
        examples = ", ".join(str(dataset.field2id_token[dataset.iid_field][item]) for item in empty[:5])
        getLogger().warning(
            f"{len(empty)} of {len(sentences) - 1} items have no text in {', '.join(fields)} (such as {examples}); "
            f"their text vector is zero."
        )
