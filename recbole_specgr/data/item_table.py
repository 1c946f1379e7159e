"""The items file: one row an item, with texts and lists of labels cleaned for RecBole's atomic files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_specgr.data.columns import ITEM_NAMES, choose_column, drop_rows, id_categories, plain_name
from recbole_specgr.data.tables import MISSING, column_names, read_table
from recbole_specgr.errors import UserError

#: In the order of the item's sentence; for Amazon Reviews 2023 these are the paper's four fields.
TEXT_NAMES = (
    *("title", "movie_title", "name", "item_name", "product_name", "author", "artist", "genre", "genres", "class"),
    *("system", "features", "categories", "category", "tags", "description"),
)
#: Columns whose texts are lists of labels, and what separates the labels: the first that occurs in the column.
LABEL_NAMES = ("categories", "category", "genres", "genre", "class", "tags")
LABEL_SEPARATORS = (" > ", "|", ";", ", ")
LIST_SEPARATOR = "|"
_RESERVED = {"user_id", "item_id", "timestamp", "item_id_list", "item_length", "label"}
_LONGEST_CELL = 100_000  # Python's csv reader, which RecBole reads with, stops at 131,072 characters
_LONGEST_LABEL = 64  # characters; a list with longer entries is sentences, not labels


def read_items(
    path: Path, given: str | None, like: str, text_fields: Sequence[str] | None, counts: dict[str, int]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Text fields of every item of the file, indexed by item id: a str a cell, or a list of labels."""
    known = column_names(path)
    id_column = next((name for name in (given, like) if name in known), None)
    id_column = id_column or choose_column(known, None, ITEM_NAMES, path, "item")
    if text_fields:
        columns = [choose_column(known, field, (), path, "text") for field in text_fields]
    else:
        by_plain = {plain_name(column): column for column in reversed(known) if column != id_column}
        columns = [by_plain[plain_name(name)] for name in TEXT_NAMES if plain_name(name) in by_plain]
    if not columns:
        raise UserError(
            f"{path} has no text column under a common name ({', '.join(TEXT_NAMES)}); its columns are "
            f"{', '.join(map(str, known))}. Name them with --text-fields."
        )
    source = read_table(path, [id_column, *columns])
    source.index = id_categories(source[id_column], path).astype(object)
    source = drop_rows(source, source.index.to_series().isna(), "item rows without an id", counts)
    source = drop_rows(source, source.index.to_series().duplicated(), "repeated item rows (the first was kept)", counts)
    fields = [_field_name(column) for column in columns]
    if len(set(fields)) < len(fields):
        raise UserError(f"{path}: the text columns {', '.join(columns)} would get the same field names {fields}.")
    texts = {field: _text_column(source[column], path) for field, column in zip(fields, columns)}
    texts = pd.DataFrame(texts, index=source.index)
    filled = [field for field in texts if text_fields or texts[field].map(bool).any()]
    return texts[filled], {f"text {field}": column for field, column in zip(fields, columns) if field in filled}


def _field_name(column: str) -> str:
    name = re.sub(r"\W+", "_", str(column).split(":")[0]).strip("_") or "text"
    return f"item_{name}" if name in _RESERVED else name


def _text_column(column: pd.Series, path: Path) -> pd.Series:
    """Clean texts; lists of short labels stay lists, and columns of label names are split into them."""
    parts = [_flatten(cell, column.name, path) for cell in column]
    is_list = any(isinstance(cell, list | tuple | np.ndarray) for cell in column)
    if plain_name(column.name) in map(plain_name, LABEL_NAMES):
        used = (mark for mark in LABEL_SEPARATORS if any(mark in part for cell in parts for part in cell))
        separator = next(used, None)
        if separator == LABEL_SEPARATORS[0] or (separator and not is_list):
            parts = [[label for part in cell for label in part.split(separator)] for cell in parts]
            is_list = True
    longest = max((len(part) for cell in parts for part in cell), default=0)
    if is_list and longest <= _LONGEST_LABEL:
        cells = [[label for part in cell if (label := _clean(part.replace(LIST_SEPARATOR, " ")))] for cell in parts]
    else:
        cells = [_one_text([text for part in cell if (text := _clean(part))], is_list) for cell in parts]
    return pd.Series(cells, index=column.index, dtype=object)


def _one_text(texts: list[str], is_list: bool) -> str:
    """A list of sentences as one text, joined as the paper joins a list: RecBole would pad all to the longest."""
    return ", ".join(texts) + ("." if is_list and texts else "")


def _flatten(cell: Any, column: str, path: Path) -> list[str]:
    """The texts in a cell, however its lists are nested."""
    if isinstance(cell, str):
        return [cell]
    if isinstance(cell, list | tuple | np.ndarray):
        return [text for part in cell for text in _flatten(part, column, path)]
    if isinstance(cell, dict):
        raise UserError(f"{path}, column [{column}] holds mappings, not text. Leave it out of --text-fields.")
    return [] if pd.isna(cell) else [str(cell)]


def _clean(text: str) -> str:
    """No line breaks, tabs or other control characters, which would break the lines of the atomic file."""
    text = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:_LONGEST_CELL]
    return "" if text in MISSING else text


def match_items(interacted: pd.Index, texts: pd.DataFrame, path: Path, counts: dict[str, int]) -> pd.DataFrame:
    """Exactly the interacted items: those the file lacks are kept without text, those never interacted are left out."""
    there = interacted.isin(texts.index)
    if not there.any():
        raise UserError(
            f"None of the {len(interacted):,} interacted items (such as {', '.join(interacted[:3])}) is in {path} "
            f"(such as {', '.join(texts.index[:3])}): are these the right two files and item columns?"
        )
    unused = len(texts) - int(there.sum())
    if unused:
        counts["left out: items without interactions"] = unused
    if not there.all():
        counts["kept: interacted items that the items file lacks"] = int((~there).sum())
    texts = texts.reindex(interacted)
    texts.index.name = "item_id"
    for field in texts:
        texts[field] = texts[field].where(texts[field].notna(), "")
    empty = ~texts.map(bool).any(axis=1)
    if empty.all():
        raise UserError(f"No interacted item has text in {', '.join(texts)} of {path}. Name others with --text-fields.")
    counts["items without text"] = int(empty.sum())
    return texts
