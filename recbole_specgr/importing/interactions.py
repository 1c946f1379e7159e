"""The interactions file: one row an interaction, cleaned, filtered, and each (user, item) once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.data.ids import MISSING
from recbole_specgr.importing.columns import (
    DROPPED,
    ITEM_NAMES,
    TIME_NAMES,
    USER_NAMES,
    choose_columns,
    drop_rows,
    id_categories,
)
from recbole_specgr.importing.filters import Filters, k_core
from recbole_specgr.importing.tables import column_names, read_table
from recbole_specgr.importing.timestamps import parse_times
from recbole_specgr.system.errors import UserError

_REPEATED = "repeated (user, item) pairs (the first was kept)"
_BOTH_FILES = "The interactions must have it, too: rename the column in one of the files."


def read_interactions(
    path: Path, user: str | None, item: str | None, time: str | None, filters: Filters, counts: dict[str, int]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The interactions of a file as `clean_interactions` returns them, and the column that each field was taken from.

    Raises:
        UserError: a column is not there or not what it should be, the file is broken, or no row is left.
    """
    known = column_names(path)
    wanted = {"user": (user, USER_NAMES), "item": (item, ITEM_NAMES), "time": (time, TIME_NAMES)}
    by_role = choose_columns(known, wanted, path, {"item": _BOTH_FILES})
    chosen = {"user_id": by_role["user"], "item_id": by_role["item"], "timestamp": by_role["time"]}
    ids, times = [chosen["user_id"], chosen["item_id"]], [chosen["timestamp"]]
    source = read_table(path, [*ids, *times], repeated=ids, numbers=times, counts=counts)
    source = pd.DataFrame({field: source[column] for field, column in chosen.items()})
    return clean_interactions(source, path, f"{path}, column [{chosen['timestamp']}]", filters, counts), chosen


def clean_interactions(
    source: pd.DataFrame, path: Path | str, where: str, filters: Filters, counts: dict[str, int]
) -> pd.DataFrame:
    """Columns user_id, item_id (categories of strings, all of them used) and timestamp (int64).

    Rows keep the order and the index of `source`. What is dropped is counted: rows without an id or a time, rows
    outside the filters' period, repeats of a (user, item) pair (the earliest stays, of equal ones the first), and
    what is not in the filters' core.

    Args:
        source: columns user_id, item_id and timestamp as they were read.
        path, where: the file, and the time column in it, for messages.
    """
    frame = pd.DataFrame({field: id_categories(source[field], path) for field in ("user_id", "item_id")})
    frame["timestamp"] = source["timestamp"]
    nameless = frame["user_id"].isna() | frame["item_id"].isna()
    frame = drop_rows(frame, nameless, "interactions without user or item id", counts)
    frame = drop_rows(frame, _without_time(frame["timestamp"]), "interactions without a time", counts)
    if frame.empty:
        columns = ", ".join(f"{field} = [{source[field].name}]" for field in source)
        raise UserError(f"{path} has no row with a user id, an item id and a time. Columns taken: {columns}.")
    frame["timestamp"] = parse_times(frame["timestamp"], where)

    frame = drop_rows(frame, ~filters.inside(frame["timestamp"].to_numpy()), "interactions outside the period", counts)
    frame = drop_rows(frame, _repeated(frame), _REPEATED, counts)
    if filters.min_interactions > 1 and len(frame):
        outside = ~k_core(*_codes(frame), filters.min_interactions)
        frame = drop_rows(frame, outside, f"interactions outside the {filters.min_interactions}-core", counts)
    if frame.empty:
        raise UserError(f"No interaction of {path} is left by {filters}: choose a longer period or a smaller core.")
    return frame.assign(**{field: frame[field].cat.remove_unused_categories() for field in ("user_id", "item_id")})


def repeats_removed(counts: Mapping[str, int]) -> dict[str, bool]:
    """What a data set's settings must say of the repeats that `clean_interactions` counted, for its files no longer
    show that users come back to items. Empty without repeats."""
    return {"repeats_removed": True} if counts.get(DROPPED + _REPEATED) else {}


def _without_time(times: pd.Series) -> pd.Series:
    """bool [N]: null, or a text that stands for it, which delimited files are read without."""
    without = times.isna()
    if times.dtype == object:
        without |= times.map(lambda time: isinstance(time, str) and time.strip() in MISSING).astype(bool)
    return without


def _repeated(frame: pd.DataFrame) -> np.ndarray:
    """bool [N]: an earlier row, or an equally early one that comes first, has the same user and item."""
    users, items = _codes(frame)
    pairs = users * (int(items.max(initial=0)) + 1) + items
    in_time = np.argsort(frame["timestamp"].to_numpy(), kind="stable")
    repeated = np.ones(len(frame), dtype=bool)
    _, first = np.unique(pairs[in_time], return_index=True)  # return_index is that of the first
    repeated[in_time[first]] = False
    return repeated


def _codes(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    users, items = (frame[field].cat.codes.to_numpy().astype(np.int64) for field in ("user_id", "item_id"))
    return users, items
