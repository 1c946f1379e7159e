"""Finding the columns of a source file by their common names, and cleaning the ids in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from logging import getLogger
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.data.ids import read_id, written_otherwise
from recbole_specgr.system.errors import UserError

DROPPED = "dropped: "  # what the counts of dropped rows begin with
USER_NAMES = ("user_id", "user", "reviewer_id", "customer_id", "visitor_id", "member_id", "uid", "username")
ITEM_NAMES = (
    *("item_id", "parent_asin", "asin", "item", "product_id", "game_id", "movie_id", "book_id", "article_id"),
    *("track_id", "business_id", "news_id", "video_id", "sku", "iid"),
)
TIME_NAMES = (
    *("timestamp", "unix_review_time", "sort_timestamp", "unix_time", "time", "date_added", "datetime", "date"),
    *("created_at", "event_time", "review_date", "t_dat", "ts"),
)


def choose_column(known: Sequence[str], given: str | None, names: Sequence[str], path: Path, role: str) -> str:
    """The column that was named, else the first of the common names that is there."""
    return choose_columns(known, {role: (given, names)}, path)[role]


def choose_columns(
    known: Sequence[str],
    wanted: Mapping[str, tuple[str | None, Sequence[str]]],
    path: Path,
    hints: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """A column for each role: the one that was named, else the first of the common names that is there.

    Args:
        known: the columns of the file at `path`.
        wanted: role -> the name that was given, if any, and the common names.
        hints: role -> a sentence for the error where the name that was given for it is not there.

    Raises:
        UserError: a named column is not there, or there is none for some roles; the message has all of these.
    """
    by_plain = {plain_name(column): column for column in reversed(known)}
    there = f"its columns are {', '.join(map(str, known))}."
    chosen, lacking = {}, []
    for role, (given, names) in wanted.items():
        found = next((by_plain[plain_name(name)] for name in names if plain_name(name) in by_plain), None)
        if given is not None and given not in known:
            raise UserError(
                " ".join(filter(None, [f"{path} has no column [{given}]; {there}", (hints or {}).get(role)]))
            )
        if given is None and found is None:
            lacking.append(role)
        chosen[role] = given or found or ""
    if lacking:
        them = "it" if len(lacking) == 1 else "them"
        raise UserError(
            f"{path} has no {' or '.join(lacking)} column under a common name; {there} "
            f"Name {them} with {', '.join(f'--{role}-column' for role in lacking)}."
        )
    return chosen


def plain_name(column: str) -> str:
    """`unixReviewTime`, `unix_review_time` and RecBole's `unix_review_time:float` are one name."""
    return re.sub(r"[^a-z0-9]", "", str(column).split(":")[0].lower())


def id_categories(column: pd.Series, path: Path | str) -> pd.Series:
    """Categories of ids as `data.ids` reads them; missing where there is no id. Works on the distinct values only.

    A warning tells of ids that stand there in two writings, such as 12 and 12.0.

    Raises UserError, naming the row, for a value that can't be an id.
    """
    codes, distinct = _distinct(column)
    try:
        texts = [read_id(value) for value in distinct]
    except UserError:
        _name_row(column, path)
        raise
    text_codes, tokens = pd.factorize(pd.Series([text or None for text in texts], dtype=object))
    codes = np.where(codes < 0, -1, np.append(text_codes, -1)[codes])
    if twice := written_otherwise((token for token in tokens if token.endswith(".0")), tokens):
        getLogger().warning(
            f"{path}, column [{column.name}]: {len(twice):,} ids stand there in two writings, such as {twice[0]} and "
            f"{twice[0].removesuffix('.0')}, and are two each. Write whole numbers without .0 if they are one."
        )
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(tokens, dtype=object)), index=column.index)


def _distinct(column: pd.Series) -> tuple[np.ndarray, Sequence[object]]:
    """Which of the distinct values each row has, -1 for none, and these values."""
    if column.dtype == object and set(map(type, column)) - {str, int, type(None)}:
        return np.arange(len(column)), column.tolist()  # pandas would take 1, 1.0 and true for one value
    codes, distinct = pd.factorize(column)
    return codes, list(distinct)


def _name_row(column: pd.Series, path: Path | str) -> None:
    """Raise the UserError of the first value that is no id, with its row."""
    for row, value in zip(column.index, column.tolist()):
        try:
            read_id(value)
        except UserError as error:
            raise UserError(f"{path}, column [{column.name}], data row {row + 1}: {error}") from error


def drop_rows(frame: pd.DataFrame, wrong: pd.Series, what: str, counts: dict[str, int]) -> pd.DataFrame:
    """The rows that are not `wrong`; how many were goes into `counts` under `what`."""
    if wrong.any():
        counts[DROPPED + what] = int(wrong.sum())
        frame = frame[~wrong]
    return frame
