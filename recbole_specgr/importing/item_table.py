"""The items file: one row an item, with texts and lists of labels cleaned for RecBole's atomic files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_specgr.data.ids import MISSING, written_otherwise
from recbole_specgr.importing.atomic_files import LIST_SEPARATOR
from recbole_specgr.importing.columns import ITEM_NAMES, choose_column, drop_rows, id_categories, plain_name
from recbole_specgr.importing.tables import column_names, read_table
from recbole_specgr.system.errors import UserError

#: In the order of the item's sentence; for Amazon Reviews 2023 these are the paper's four fields.
TEXT_NAMES = (
    *("title", "movie_title", "name", "item_name", "product_name", "author", "artist", "genre", "genres", "class"),
    *("system", "features", "categories", "category", "tags", "description"),
)
#: Columns whose texts are lists of labels, and what separates the labels: the first that occurs in the column.
LABEL_NAMES = ("categories", "category", "genres", "genre", "class", "tags")
LABEL_SEPARATORS = (" > ", "|", ";", ", ")
_RESERVED = {"user_id", "item_id", "timestamp", "item_id_list", "item_length", "label"}
_LONGEST_CELL = 100_000  # Python's csv reader, which RecBole reads with, stops at 131,072 characters
_LONGEST_LABEL = 64  # characters; a list with longer entries is sentences, not labels
_DEEPEST = 20  # lists within lists
_FEW_ALIKE = 0.5  # a share of different values among all, above which they are no labels
#: Kinds of columns of atomic files, as a column's name says after a colon.
KINDS = ("token", "token_seq", "float", "float_seq")
#: What the count of items without interactions is of.
WITHOUT_INTERACTIONS = "left out: items without interactions"
#: Columns of these names are texts: where RecBole's `token_seq` holds them, its tokens are the words.
_WORDS = ("title", "movie_title", "name", "item_name", "product_name", "description")
# Line breaks, tabs and other control characters, and halves of characters, which no file in UTF-8 can hold.
_NOT_IN_TEXTS = re.compile("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


_PLAIN_WORDS = {plain_name(name) for name in _WORDS}


@dataclass
class ItemTable:
    """Items by id.

    Attributes:
        frame: a cell is a text, or a list of texts where its field is a sequence.
        text_fields, feature_fields: the fields that describe an item, and those that models take as features.
        columns: our field -> the source's column.
        kinds: our field -> its kind in an atomic file, one of KINDS.
        unused: the file's other columns.
    """

    frame: pd.DataFrame
    text_fields: list[str]
    feature_fields: list[str]
    columns: dict[str, str]
    kinds: dict[str, str]
    unused: list[str]


def read_items(
    path: Path,
    given: str | None,
    like: str,
    text_fields: Sequence[str] | None,
    feature_fields: Sequence[str],
    counts: dict[str, int],
) -> ItemTable:
    """Texts and features of every item of the file.

    Args:
        given, like: the id column: the one that was named, else the one of the interactions when the file has it.
        text_fields: columns that describe an item, in this order; guessed when None.
        feature_fields: columns that models take as features; they may be among the text fields.
    """
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
    features = [choose_column(known, field, (), path, "feature") for field in feature_fields]
    source = read_table(path, [id_column, *columns, *features], counts=counts)
    source.index = id_categories(source[id_column], path).astype(object)
    source = drop_rows(source, source.index.to_series().isna(), "item rows without an id", counts)
    source = drop_rows(source, source.index.to_series().duplicated(), "repeated item rows (the first was kept)", counts)
    by_column = {column: _field_name(column) for column in [*columns, *features]}
    if len(set(by_column.values())) < len(by_column):
        raise UserError(
            f"{path}: the columns {', '.join(by_column)} would get the same field names {[*by_column.values()]}."
        )
    cells = {
        field: clean_column(source[column], path, is_feature=column in features) for column, field in by_column.items()
    }
    frame = pd.DataFrame(cells, index=source.index)
    kinds = {field: _kind(frame[field], column) for column, field in by_column.items()}
    for column in features:
        _warn_of_numbers(frame[by_column[column]], column, path)
    filled = [column for column in by_column if text_fields or column in features or frame[by_column[column]].any()]
    return ItemTable(
        frame[[by_column[column] for column in filled]],
        [by_column[column] for column in columns if column in filled],
        [by_column[column] for column in features],
        {by_column[column]: column for column in filled},
        {by_column[column]: kinds[by_column[column]] for column in filled},
        [column for column in known if column != id_column and column not in filled],
    )


def ids_alone(items: pd.Index) -> ItemTable:
    """What is known of items that no file describes."""
    return ItemTable(pd.DataFrame(index=items.astype(object).rename("item_id")), [], [], {}, {}, [])


def declared_kind(column: str) -> str | None:
    """The kind that RecBole's name of a column, such as `genres:token_seq`, ends with; None for another name."""
    kind = str(column).rpartition(":")[2]
    return kind if kind in KINDS and kind != str(column) else None


def _kind(cells: pd.Series, column: str) -> str:
    is_list = cells.map(lambda cell: isinstance(cell, list)).any()
    number = (declared_kind(column) or "").startswith("float")
    return ("float" if number else "token") + ("_seq" if is_list else "")


def _field_name(column: str) -> str:
    name = re.sub(r"\W+", "_", str(column).split(":")[0]).strip("_") or "text"
    return f"item_{name}" if name in _RESERVED else name


def clean_column(column: pd.Series, path: Path, is_feature: bool = False) -> pd.Series:
    """Clean texts; lists of short labels stay lists, and columns of label names are split into them.

    The lists of a feature stay lists however long their texts are, and its texts are split at any separator of labels
    but a comma, which names hold too. A column of an atomic file is what its name says.
    """
    if declared := declared_kind(column.name):
        return _declared_column(column, declared, path, is_feature)
    parts = [_flatten(cell, column.name, path) for cell in column]
    is_list = any(isinstance(cell, list | tuple | np.ndarray) for cell in column)
    if is_feature or _holds_labels(column.name):
        parts, is_list = split_labels(parts, column.name, is_list)
    longest = max((len(part) for cell in parts for part in cell), default=0)
    if is_list and (is_feature or longest <= _LONGEST_LABEL):
        return pd.Series([labels(cell) for cell in parts], index=column.index, dtype=object)
    return pd.Series([one_text(cell, is_list) for cell in parts], index=column.index, dtype=object)


def split_labels(cells: list[list[str]], column: str, is_list: bool) -> tuple[list[list[str]], bool]:
    """The texts of each cell of a column split into labels, and whether the cells are lists then.

    They are split at the first of LABEL_SEPARATORS that occurs in the column; at a comma only where its name is one of
    LABEL_NAMES, for names hold commas too. The entries of lists are split at levels (` > `) only.
    """
    marks = LABEL_SEPARATORS if _holds_labels(column) else LABEL_SEPARATORS[:-1]
    used = (mark for mark in marks if any(mark in part for cell in cells for part in cell))
    separator = next(used, None)
    if separator == LABEL_SEPARATORS[0] or (separator and not is_list):
        return [[label for part in cell for label in part.split(separator)] for cell in cells], True
    return cells, is_list


def _holds_labels(column: str) -> bool:
    return plain_name(column) in map(plain_name, LABEL_NAMES)


def _declared_column(column: pd.Series, kind: str, path: Path, is_feature: bool) -> pd.Series:
    """Cells of a column whose name says its kind: texts, or lists of them for a sequence.

    A sequence is separated by `|` where that occurs, as in the files written here, else by blanks, RecBole's default.
    """
    parts = [_flatten(cell, column.name, path) for cell in column]
    if kind.endswith("_seq"):
        separator = LIST_SEPARATOR if any(LIST_SEPARATOR in part for cell in parts for part in cell) else " "
        entries = [[entry for part in cell for entry in part.split(separator)] for cell in parts]
        if kind == "token_seq" and separator == " " and not is_feature and plain_name(column.name) in _PLAIN_WORDS:
            return pd.Series([_clean(" ".join(cell)) for cell in entries], index=column.index, dtype=object)
        cells: list[Any] = [labels(cell) for cell in entries]
    else:
        cells = [one_text(cell, is_list=False) for cell in parts]
    if kind.startswith("float"):
        _check_numbers(cells, column.name, path)
    return pd.Series(cells, index=column.index, dtype=object)


def _warn_of_numbers(cells: pd.Series, column: str, path: Path) -> None:
    """Warn of a feature whose labels are numbers that hardly any two items share: as labels they say nothing."""
    values = cells[cells.map(lambda cell: isinstance(cell, str) and bool(cell))]
    if declared_kind(column) or values.nunique() <= len(values) * _FEW_ALIKE:
        return
    if pd.to_numeric(values, errors="coerce").notna().all():
        getLogger().warning(
            f"{path}, feature [{column}]: its values are numbers, {values.nunique():,} different ones of "
            f"{len(values):,} items. They are read as labels. Put them into classes, or call the column "
            f"[{column}:float] for a model that reads numbers."
        )


def _check_numbers(cells: Sequence[str | list[str]], column: str, path: Path) -> None:
    for row, cell in enumerate(cells, start=1):
        for text in cell if isinstance(cell, list) else [cell]:
            try:
                float(text or 0)
            except ValueError as error:
                raise UserError(
                    f"{path}, column [{column}], item {row}: [{text[:40]}] is no number. Name the column "
                    f"[{column.partition(':')[0]}:token] if it holds texts."
                ) from error


def labels(parts: Sequence[str]) -> list[str]:
    """A list of labels, clean, without empty ones."""
    return [label for part in parts if (label := _clean(part.replace(LIST_SEPARATOR, " ")))]


def one_text(parts: Sequence[str], is_list: bool) -> str:
    """A list of sentences as one text, joined as the paper joins a list: RecBole would pad all to the longest."""
    texts = [text for part in parts if (text := _clean(part))]
    return (", ".join(texts) + ("." if is_list and texts else ""))[:_LONGEST_CELL]


def _flatten(cell: Any, column: str, path: Path, depth: int = 0) -> list[str]:
    """The texts in a cell, however its lists are nested."""
    if isinstance(cell, str):
        return [cell]
    if isinstance(cell, bytes):
        return [cell.decode("utf-8", "replace")]
    if depth > _DEEPEST:
        raise UserError(f"{path}, column [{column}]: a cell holds lists nested more than {_DEEPEST} deep. Flatten it.")
    if isinstance(cell, list | tuple | np.ndarray):
        return [text for part in cell for text in _flatten(part, column, path, depth + 1)]
    if isinstance(cell, dict):
        raise UserError(f"{path}, column [{column}] holds mappings, not text. Leave it out of --text-fields.")
    return [] if pd.isna(cell) else [plain_text(cell)]


def plain_text(value: Any) -> str:
    """The text of a value that is no list. A whole number is written without `.0`, whatever its type: pandas makes
    floats of whole numbers where a cell of their column is empty."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value)


def _clean(text: str) -> str:
    """One line of text that an atomic file can hold."""
    text = _NOT_IN_TEXTS.sub(" ", text).strip()[:_LONGEST_CELL]
    return "" if text in MISSING else text


def match_items(
    interacted: pd.Index, items: pd.DataFrame, text_fields: Sequence[str], path: Path, counts: dict[str, int]
) -> pd.DataFrame:
    """Exactly the interacted items: those the file lacks are kept without text, those never interacted are left out."""
    there = interacted.isin(items.index)
    otherwise = written_otherwise(interacted[~there], items.index)
    hint = "are these the right two files and item columns?"
    if otherwise:
        hint = (
            f"{len(otherwise):,} are written with .0 in one of the files only. Write whole numbers without it in both."
        )
    if not there.any():
        raise UserError(
            f"None of the {len(interacted):,} interacted items (such as {', '.join(interacted[:3])}) is in {path} "
            f"(such as {', '.join(items.index[:3])}): {hint}"
        )
    if otherwise:
        getLogger().warning(f"Of the interacted items that {path} lacks, {hint}")
    unused = len(items) - int(there.sum())
    if unused:
        counts[WITHOUT_INTERACTIONS] = unused
    if not there.all():
        counts["kept: interacted items that the items file lacks"] = int((~there).sum())
    items = items.reindex(interacted)
    items.index.name = "item_id"
    for field in items:
        items[field] = items[field].where(items[field].notna(), "")
    empty = ~items[list(text_fields)].map(bool).any(axis=1)
    if empty.all():
        raise UserError(
            f"No interacted item has text in {', '.join(text_fields)} of {path}. Name others with --text-fields."
        )
    counts["items without text"] = int(empty.sum())
    return items
