"""Finding the columns of a source file by their common names, and cleaning the ids in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.data.ids import read_id
from recbole_specgr.system.errors import UserError

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
    if given is not None:
        if given not in known:
            raise UserError(f"{path} has no column [{given}]; its columns are {', '.join(map(str, known))}.")
        return given
    by_plain = {plain_name(column): column for column in reversed(known)}
    for name in names:
        if plain_name(name) in by_plain:
            return by_plain[plain_name(name)]
    raise UserError(
        f"{path} has no {role} column under a common name; its columns are {', '.join(map(str, known))}. "
        f"Name it with --{role}-column."
    )


def plain_name(column: str) -> str:
    """`unixReviewTime`, `unix_review_time` and RecBole's `unix_review_time:float` are one name."""
    return re.sub(r"[^a-z0-9]", "", str(column).split(":")[0].lower())


def id_categories(column: pd.Series, path: Path | str) -> pd.Series:
    """Categories of ids as `data.ids` reads them; missing where there is no id. Works on the distinct values only.

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
        counts[f"dropped: {what}"] = int(wrong.sum())
        frame = frame[~wrong]
    return frame
