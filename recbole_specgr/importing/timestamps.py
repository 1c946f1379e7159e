"""A column of times as people write them -> exact integers in one unit, UTC."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recbole_specgr.data.times import TIME_UNITS, exact_times, time_unit
from recbole_specgr.system.errors import UserError

_NANOSECONDS = 10**17  # epoch times of this size and above; 1e17 us is the year 5138


def parse_times(column: pd.Series, where: str) -> np.ndarray:
    """int64 [N] of a column without missing values.

    Numbers, also as text, are taken as they are; fractional ones become the coarsest of ms and us that holds them
    all, and nanoseconds become microseconds. ISO 8601 dates and datetimes (without a zone: UTC) become the coarsest of
    s, ms and us that holds them all.

    Raises UserError naming the first value that is not a time, or values in different units.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return _of_datetimes(pd.to_datetime(column, utc=True))
    if pd.api.types.is_bool_dtype(column):
        raise UserError(f"{where} holds true and false, not times.")
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().any():
        if numbers.notna().any():
            _refuse(column, numbers.isna(), where, "not a number, unlike the others")
        moments = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
        if moments.isna().any():
            _refuse(column, moments.isna(), where, "neither a number nor an ISO 8601 date such as 2014-07-01T12:30:00")
        return _of_datetimes(moments)
    kind = np.float64 if pd.api.types.is_float_dtype(numbers) else np.int64  # also of pandas' nullable types
    times = _of_numbers(column, numbers.to_numpy(dtype=kind), where)
    _check_one_unit(times, where)
    return times


def parse_moment(text: str, where: str) -> int:
    """Microseconds since 1970 of one ISO 8601 date or datetime. Raises UserError when it is none."""
    moment = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if pd.isna(moment):
        raise UserError(f"{where} [{text}] is neither a date such as 2014-07-01 nor a time as in the data.")
    return moment.value // 1000


def _of_datetimes(moments: pd.Series) -> np.ndarray:
    microseconds = moments.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    for ticks in TIME_UNITS.values():
        step = TIME_UNITS["us"] // ticks
        if (microseconds % step == 0).all():
            break
    return microseconds // step


def _of_numbers(column: pd.Series, numbers: np.ndarray, where: str) -> np.ndarray:
    if np.issubdtype(numbers.dtype, np.integer):
        return numbers // (1000 if np.abs(numbers).max() >= _NANOSECONDS else 1)
    infinite = ~np.isfinite(numbers)
    if infinite.any():
        _refuse(column, infinite, where, "infinite")
    if (numbers == np.floor(numbers)).all():
        return exact_times(numbers, where)
    for ticks in (10**3, 10**6):
        scaled = np.round(numbers * ticks)
        # The decimals that were written, not their binary neighbours: dividing back must give the same float.
        if (scaled / ticks == numbers).all():
            return exact_times(scaled, where)
    return _refuse(column, np.round(numbers * 10**6) / 10**6 != numbers, where, "finer than a microsecond")


def _check_one_unit(times: np.ndarray, where: str) -> None:
    """Seconds and milliseconds in one column would put half the data a thousand-fold later than the rest."""
    sizes = np.abs(times)
    units = np.where(sizes < 10**11, "s", np.where(sizes < 10**14, "ms", "us"))
    names, counts = np.unique(units, return_counts=True)
    if len(names) > 1:
        found = ", ".join(
            f"{count:,} look like {name} (such as {times[units == name][0]})" for name, count in zip(names, counts)
        )
        raise UserError(f"{where} mixes units: {found}. Bring all to {time_unit(times)}, or drop the wrong rows.")


def _refuse(column: pd.Series, wrong: np.ndarray | pd.Series, where: str, what: str):
    wrong = np.asarray(wrong)
    first = int(np.flatnonzero(wrong)[0])
    raise UserError(
        f"{where}: {int(wrong.sum()):,} of {len(column):,} values are {what}; the first is [{column.iloc[first]}] "
        f"in data row {column.index[first] + 1}."
    )
