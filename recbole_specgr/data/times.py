"""Times as exact integers, the unit they are in, and how they read in messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

import numpy as np

from recbole_specgr.system.errors import UserError

#: Ticks per second of every unit a time column may be in. Told apart by size: 1e11 s is the year 5138, 1e11 ms is 1973.
TIME_UNITS = {"s": 1, "ms": 10**3, "us": 10**6}
EXACT_IN_FLOAT64 = 2**53


def exact_times(values: np.ndarray, field: str) -> np.ndarray:
    """float64 or integer times [N] -> int64 [N], or a UserError that names the first time that is not exact.

    RecBole keeps `float` fields as float32, in which seconds are 128 s apart and milliseconds 131 s apart, so order
    and split are decided on what this returns.
    """
    values = np.asarray(values)
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64)
    values = values.astype(np.float64)
    for wrong, what, advice in (
        (~np.isfinite(values), "missing or infinite", "drop those rows or fill the times in"),
        (np.abs(values) > EXACT_IN_FLOAT64, "too large to be exact", "store the times in seconds or milliseconds"),
        (values != np.floor(values), "fractional", "store them as whole seconds or milliseconds"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"{int(wrong.sum()):,} of {len(values):,} values of the time field [{field}] are {what} "
                f"(the first is [{values[first]}] in row {first + 1}): {advice}; "
                "`recbole-specgr import-data` writes exact whole times."
            )
    return values.astype(np.int64)


def time_unit(times: Sequence[int] | np.ndarray) -> str:
    """The unit ("s", "ms" or "us") that these integer times are in, judged by their largest magnitude."""
    largest = int(np.abs(np.asarray(times)).max()) if len(times) else 0
    return "s" if largest < 10**11 else "ms" if largest < 10**14 else "us"


def in_seconds(times: np.ndarray, unit: str | None = None) -> np.ndarray:
    """Integer times [N] in `unit`, None for the one that `time_unit` finds -> whole seconds, int64 [N]."""
    return times // TIME_UNITS[unit or time_unit(times)]


def readable_time(time: int, unit: str | None = None) -> str:
    """An integer time with its UTC date, for messages: `893286638 (1998-04-22 23:10:38)`."""
    try:
        moment = datetime.fromtimestamp(time / TIME_UNITS[unit or time_unit([time])], tz=timezone.utc)
    except (OverflowError, ValueError, OSError):
        return str(time)
    return f"{time} ({moment:%Y-%m-%d %H:%M:%S})"
