"""Named item fields of a RecBole dataset -> one sentence an item, cleaned as `text_cleaning` says."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from logging import getLogger
from typing import Any

import numpy as np
import pandas as pd
from recbole.data.dataset import Dataset
from recbole.utils import FeatureType

from recbole_specgr.importing.item_table import labels, one_text, plain_text, split_labels
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.cleaning import cleaner

#: What a cell of an item field is: one text, a list of them, a number, or a list of numbers.
KINDS = ("text", "list", "number", "numbers")
_BLANKS = re.compile(r" +")
_LISTS = (list, tuple, set, np.ndarray)


def item_texts(dataset: Dataset, fields: Sequence[str]) -> list[str]:
    """Write the sentence of every item from its `fields`, in their order.

    A text ends with a blank, a list is joined by ", " and ends with ". ", a number ends with ". ". A `token` field is
    one text. A `token_seq` field is a list, unless the data set's `seq_separator` is a blank: its "tokens" then are
    the words of one text, which is put together again.

    Args:
        dataset: a dataset whose item features are loaded; its settings say how texts are cleaned.
        fields: names of item features.

    Returns:
        n_items sentences in item id order; "" for the padding item 0 and for items without text (which are counted in
        a warning).

    Raises:
        UserError: no field is named, a field is not among the loaded item features, or `text_cleaning` is unknown.
    """
    parts = _parts(dataset, fields)
    sentences = _sentences(parts)
    sentences[0] = ""
    _warn_of_empty(dataset, sentences, list(parts))
    return sentences


def attribute_texts(dataset: Dataset, fields: Sequence[str]) -> dict[str, list[str]]:
    """The text of every item by field, cleaned as for `item_texts` but without endings. Raises what that raises."""
    texts = _attributes(_parts(dataset, fields))
    for part in texts.values():
        part[0] = ""
    return texts


def _sentences(parts: dict[str, list[str]]) -> list[str]:
    return [_BLANKS.sub(" ", "".join(row)).strip() for row in zip(*parts.values(), strict=True)]


def _attributes(parts: dict[str, list[str]]) -> dict[str, list[str]]:
    return {field: [text.strip().removesuffix(".") for text in part] for field, part in parts.items()}


def _parts(dataset: Dataset, fields: Sequence[str]) -> dict[str, list[str]]:
    """The texts of each field, with their endings."""
    if isinstance(fields, str):
        fields = [fields]
    if not fields:
        raise UserError(
            f"[{dataset.config['model']}] reads what describes an item, and [text_fields] names nothing. Name fields "
            f"of the items; if data set [{dataset.dataset_name}] has none, import it with --items FILE or "
            "--text-features FILE.npz."
        )
    feature = dataset.get_item_feature()
    missing = [field for field in fields if field not in feature]
    if missing:
        known = [field for field in feature if field != dataset.iid_field]
        raise UserError(
            f"text_fields names {', '.join(missing)}, but the item features loaded from data set "
            f"{dataset.dataset_name} are {', '.join(known) or 'none'}. Correct text_fields, or load the column "
            f"(load_col: item: [...])."
        )
    clean = cleaner(dataset.config["text_cleaning"])
    return {field: _field_texts(dataset, field, feature[field].numpy(), clean) for field in fields}


def field_kinds(dataset: Dataset) -> dict[str, str]:
    """Every loaded item field but the item's id -> its kind, one of KINDS."""
    feature = dataset.item_feat
    return {field: _kind(dataset, field) for field in feature or () if field != dataset.iid_field}


def title_field(known: Iterable[str], fields: Sequence[str] | None) -> str | None:
    """Which of the `known` item fields says best to people what an item is: a title or a name, else the first of the
    text `fields` that is known."""
    known = list(known)
    named = [field for word in ("title", "name") for field in known if word in str(field).lower()]
    return next(iter([*named, *(field for field in fields or () if field in known)]), None)


def item_titles(dataset: Dataset, fields: Sequence[str] | None) -> list[str]:
    """A name for each item to show to people, as it is in the file; "" where there is none."""
    feature = dataset.item_feat
    field = title_field([field for field in feature or () if field != dataset.iid_field], fields)
    if field is None:
        return [""] * dataset.item_num
    names = dataset.field2id_token.get(field)
    rows = np.atleast_1d(feature[field].numpy())
    if names is None:
        return [str(row) for row in rows]
    separator = dataset.config["seq_separator"]
    rows = rows[:, None] if rows.ndim == 1 else rows
    return [separator.join(str(names[token]) for token in row if token > 0) for row in rows]


class FrameTexts:
    """The texts of items in a table, cleaned as `item_texts` and `attribute_texts` clean those of a data set's file.

    Args:
        frame: has the columns `fields`. A cell is a text, a number, or a list; None and NaN are empty.
        kinds: field -> its kind, as `field_kinds` gave it; a field that is not there is text.
        separator: of the labels in a text that stands for a list.
        cleaning: the run's `text_cleaning`.

    Raises:
        UserError: a cell of a field of numbers is none.
    """

    def __init__(
        self, frame: pd.DataFrame, fields: Sequence[str], kinds: Mapping[str, str], separator: str, cleaning: str
    ) -> None:
        clean = cleaner(cleaning)
        self._parts = {
            field: _column_texts(frame[field], kinds.get(field, "text"), separator, clean) for field in fields
        }

    @property
    def sentences(self) -> list[str]:
        return _sentences(self._parts)

    @property
    def attributes(self) -> dict[str, list[str]]:
        return _attributes(self._parts)


def _column_texts(column: pd.Series, kind: str, separator: str, clean: Callable[[str], str]) -> list[str]:
    """The texts of a column, joined and split as the importer does it with a file of items."""
    cells = [_cell_parts(cell, separator if kind in ("list", "numbers") else None) for cell in column]
    is_list, imported = any(isinstance(cell, _LISTS) for cell in column), separator != " "
    if kind == "text":
        texts = [one_text(parts, is_list) if imported else " ".join(parts) for parts in cells]
        return [_ended(clean(text), " ") for text in texts]
    if kind == "list":
        if imported and not any(isinstance(cell, str) and separator in cell for cell in column):
            cells = [labels(parts) for parts in split_labels(cells, str(column.name), is_list)[0]]
        return _joined(cells, clean)
    numbers = [[_float(part, column.name, row) for part in parts] for row, parts in enumerate(cells, start=1)]
    if kind == "number":
        return [_ended("".join(map(_number, row[:1])), ". ") for row in numbers]
    return _joined(numbers, _number)


def _float(text: str, field: str, row: int) -> np.float32:
    try:
        return np.float32(text)
    except ValueError as error:
        raise UserError(
            f"The items' field [{field}] holds numbers, but row {row} of the new items has [{text[:40]}] in it."
        ) from error


def shown(cell: Any) -> str:
    """The text of a cell as people read it, not cleaned; entries of a list with blanks between them."""
    return " ".join(_cell_parts(cell, None))


def _cell_parts(cell: Any, separator: str | None) -> list[str]:
    """The texts in a cell; a text is split at `separator` where there is one."""
    if isinstance(cell, _LISTS):
        return [part for element in cell for part in _cell_parts(element, None)]
    if cell is None or cell is pd.NA or cell != cell:
        return []
    text = plain_text(cell)
    return list(filter(None, text.split(separator) if separator else [text]))


def _kind(dataset: Dataset, field: str) -> str:
    kind = dataset.field2type[field]
    if kind == FeatureType.TOKEN_SEQ and dataset.config["seq_separator"] == " ":
        return "text"
    names = {FeatureType.TOKEN: "text", FeatureType.TOKEN_SEQ: "list", FeatureType.FLOAT: "number"}
    return names.get(kind, "numbers")


def _field_texts(dataset: Dataset, field: str, values: np.ndarray, clean: Callable[[str], str]) -> list[str]:
    """Texts of one field, with its ending; `values` is [n_items] or [n_items, longest list]."""
    kind = dataset.field2type[field]
    if kind == FeatureType.TOKEN:
        # clean each distinct text once
        texts = np.array([_ended(clean(str(token)), " ") for token in dataset.field2id_token[field]], dtype=object)
        texts[0] = ""
        return texts[values].tolist()
    if kind == FeatureType.TOKEN_SEQ:
        tokens = np.array([str(token) for token in dataset.field2id_token[field]], dtype=object)
        rows = (tokens[row[row > 0]] for row in values)
        if dataset.config["seq_separator"] == " ":
            return [_ended(clean(" ".join(row)), " ") for row in rows]
        return _joined(rows, clean)
    if kind == FeatureType.FLOAT:
        lacking = dataset.without_number[field]
        return ["" if lacks else _ended(_number(value), ". ") for value, lacks in zip(values, lacking, strict=True)]
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
