"""Finding the columns of a source file by their common names, and cleaning the ids in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.importing.tables import MISSING
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

_NOT_IN_IDS = re.compile(r"[\s\x00-\x1f]+")


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
    """Categories of stripped strings; missing where there is no id. Works on the distinct values only."""
    try:
        codes, distinct = pd.factorize(column)
    except TypeError as error:
        raise UserError(f"{path}, column [{column.name}]: ids must be texts or numbers, not lists.") from error
    distinct = pd.Series(distinct)
    if pd.api.types.is_float_dtype(distinct) and (distinct == np.floor(distinct)).all():
        distinct = distinct.astype(np.int64)  # a column of numbers with gaps: 12.0 was 12
    texts = distinct.astype(str)
    if _NOT_IN_IDS.search("".join(texts)):
        texts = texts.str.replace(_NOT_IN_IDS, " ", regex=True).str.strip()
    text_codes, tokens = pd.factorize(texts.where(~texts.isin(MISSING)))
    codes = np.where(codes < 0, -1, np.append(text_codes, -1)[codes])
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(tokens, dtype=object)), index=column.index)


def drop_rows(frame: pd.DataFrame, wrong: pd.Series, what: str, counts: dict[str, int]) -> pd.DataFrame:
    """The rows that are not `wrong`; how many were goes into `counts` under `what`."""
    if wrong.any():
        counts[f"dropped: {what}"] = int(wrong.sum())
        frame = frame[~wrong]
    return frame
