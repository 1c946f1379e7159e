"""A column of times as people write them -> exact integers in one unit, UTC."""

from __future__ import annotations

from datetime import date
from numbers import Integral, Number
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow

from recbole_specgr.data.times import TIME_UNITS, exact_times, time_unit
from recbole_specgr.system.errors import UserError, shown

_NANOSECONDS = 10**17  # epoch times of this size and above; 1e17 us is the year 5138
_LARGEST = 2**63 - 1
_EXACT_IN_FLOAT64 = 2**53
_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}
#: Dates written as whole numbers: the parts of each number of digits, and how that date is written as a text. 17 digits
#: end with milliseconds.
_DATE_NUMBERS = {
    6: ("%Y%m", "%Y-%m"),
    8: ("%Y%m%d", "%Y-%m-%d"),
    10: ("%Y%m%d%H", "%Y-%m-%dT%H"),
    12: ("%Y%m%d%H%M", "%Y-%m-%dT%H:%M"),
    14: ("%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S"),
    17: ("%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S"),
}
_DATE_YEARS = (1900, 2100)
_UTC = r"\s*(?:UTC|GMT)$"  # as SQL databases and R write it; ISO 8601 has Z
_EXAMPLES = "such as 2014-07-01, 2014-07-01T12:30:00 or 2014-07-01 12:30:00+02:00"


def parse_times(column: pd.Series, where: str) -> np.ndarray:
    """int64 [N] of a column without missing values.

    Numbers, also as text, are taken as they are; fractional ones become the coarsest of ms and us that holds them
    all, and nanoseconds become microseconds. ISO 8601 dates and datetimes (without a zone: UTC; ` UTC` may stand for
    Z) become the coarsest of s, ms and us that holds them all.

    Raises UserError naming the first value that is not a time or not exact, or values in different units, or in a unit
    that nobody could tell from their size.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _of_datetimes(column, pd.to_datetime(column, utc=True), where)
    if pd.api.types.is_bool_dtype(column):
        raise UserError(f"{where} holds true and false, not times.")
    if pd.api.types.is_numeric_dtype(column):
        numbers = column
    else:
        odd = ~column.map(_may_be_time).to_numpy(dtype=bool)
        if odd.any():
            _refuse(column, odd, where, "neither numbers nor dates")
        numbers = _as_numbers(column, where)
        if numbers is None:
            return _of_texts(column, where)
    times = _of_numbers(column, numbers, where)
    _check_one_unit(times, where)
    return times


def parse_moment(text: str, where: str) -> int:
    """Microseconds since 1970 of one ISO 8601 date or datetime. Raises UserError when it is none."""
    moment = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if pd.isna(moment):
        raise UserError(f"{where} [{text}] is neither a date such as 2014-07-01 nor a time as in the data.")
    return moment.value // 1000


def _may_be_time(value: object) -> bool:
    return isinstance(value, str | date | Number) and not isinstance(value, bool | np.bool_)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def _as_numbers(column: pd.Series, where: str) -> pd.Series | None:
    """The numbers of a column of objects; None where none of them is a number. Raises UserError where some are."""
    kinds = set(map(type, column))
    if kinds == {str}:
        try:
            return pyarrow.array(column, "string").cast("int64").to_pandas().set_axis(column.index)
        except (pyarrow.ArrowInvalid, UnicodeEncodeError):
            pass  # fractions, dates, blanks, too large, or no text at all
    if all(issubclass(kind, Integral) for kind in kinds):
        _check_range(column, np.array([abs(int(value)) > _LARGEST for value in column]), where)
        return column.astype(np.int64)
    # Of numbers so large that float64 would take their last digits there may be whole ones only.
    large = np.array([isinstance(value, Integral) and abs(int(value)) > _EXACT_IN_FLOAT64 for value in column])
    if large.any():
        _refuse(column, large, where, "whole numbers too large to stand beside other values exactly")
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna()
    if wrong.all():
        return None
    if wrong.any():
        _refuse(column, wrong, where, "not a number, unlike the others")
    return numbers


def _of_numbers(column: pd.Series, numbers: pd.Series, where: str) -> np.ndarray:
    if pd.api.types.is_unsigned_integer_dtype(numbers):
        _check_range(column, (numbers > _LARGEST).to_numpy(dtype=bool), where)
    if pd.api.types.is_integer_dtype(numbers):
        whole = numbers.to_numpy(dtype=np.int64)
        _refuse_dates(whole, where)
        return whole // (1000 if max(int(whole.max()), -int(whole.min())) >= _NANOSECONDS else 1)
    values = numbers.to_numpy(dtype=np.float64)
    infinite = ~np.isfinite(values)
    if infinite.any():
        _refuse(column, infinite, where, "infinite")
    inexact = np.abs(values) >= _EXACT_IN_FLOAT64
    if inexact.any():
        _refuse(column, inexact, where, "floating-point numbers too large to be exact. Keep times as whole numbers")
    if (values == np.floor(values)).all():
        whole = exact_times(values, where)
        _refuse_dates(whole, where)
        return whole
    written = TIME_UNITS[time_unit(np.floor(values).astype(np.int64))]
    names = {ticks: unit for unit, ticks in TIME_UNITS.items()}
    for ticks in (10**3, 10**6):
        scaled = np.round(values * ticks)
        # The decimals that were written, not their binary neighbours: dividing back must give the same float.
        if (scaled / ticks == values).all():
            times = exact_times(scaled, where)  # refuses what would be finer than microseconds, for its size
            _check_told_apart(column, times, names[written * ticks], where)
            return times
    return _refuse(column, np.round(values * 10**6) / 10**6 != values, where, "finer than a microsecond")


def _refuse_dates(whole: np.ndarray, where: str) -> None:
    """Dates written as numbers, such as 20140701, would pass as seconds of August 1970, with 8,870 s between 31
    December and 1 January, and 20140701123000 as milliseconds of the year 2608.

    They are known by being calendar dates of one form, all of them. Numbers that are not meant so hardly ever are: of
    six digits one in eight ends with a month, and of more digits fewer are dates. Counters from 1 and epoch times of
    today lie outside of these years.
    """
    found = _dates(whole)
    if found is not None:
        raise UserError(
            f"{where}: all values are dates written as whole numbers, such as {whole[0]}, and would be taken for "
            f"{_UNIT_NAMES[time_unit(whole)]}. Write them as texts, such as {found}."
        )


def is_date_number(text: str) -> bool:
    """Whether digits read as a date of these years that is written as one number, such as 201407 or 2014070112."""
    if len(text) not in _DATE_NUMBERS or not text.isdecimal() or text.startswith("0"):
        return False
    return _dates(np.array([int(text)])) is not None


def _dates(whole: np.ndarray) -> str | None:
    """How the first of the numbers [N] is written as a date; None where not all of them are dates of one form."""
    smallest, largest = (str(extreme) for extreme in (whole.min(), whole.max()))
    if len(smallest) != len(largest) or len(smallest) not in _DATE_NUMBERS:
        return None
    if int(smallest[:4]) < _DATE_YEARS[0] or int(largest[:4]) > _DATE_YEARS[1]:
        return None
    parts, form = _DATE_NUMBERS[len(smallest)]
    numbers = pd.Series(whole).astype(str)
    dates = pd.to_datetime(numbers.str.slice(0, 14), format=parts, errors="coerce")
    if dates.isna().any():
        return None
    return dates[0].strftime(form) + (f".{numbers[0][14:]}" if numbers[0][14:] else "")


def _check_told_apart(column: pd.Series, times: np.ndarray, unit: str, where: str) -> None:
    """Raises UserError where the times are not taken for what they are in. No file says the unit; all that read the
    times judge it by their size, and milliseconds of 1970 have that of seconds."""
    taken = time_unit(times)
    if taken == unit:
        return
    far = int(np.abs(times).argmax())
    place = f"{shown(column.iloc[far])} in data row {column.index[far] + 1}"
    if TIME_UNITS[taken] > TIME_UNITS[unit]:
        raise UserError(
            f"{where}: the time {place} is so far from 1970 that all {unit} would be taken for {taken}. Correct it or "
            f"drop the row."
        )
    raise UserError(
        f"{where}: the times have fractions, and the one furthest from 1970 is {place}. Kept in whole "
        f"{_UNIT_NAMES[unit]}, they would be taken for {_UNIT_NAMES[taken]}, for units are told apart by size. Leave "
        f"the fractions out, or, if the times count from another moment than 1970, add its epoch time to each."
    )


def _check_range(column: pd.Series, beyond: np.ndarray, where: str) -> None:
    if beyond.any():
        _refuse(column, beyond, where, "numbers beyond 64 bits, which are no times in any unit")


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


# ---- dates -----------------------------------------------------------------------------------------------------------


def _of_texts(column: pd.Series, where: str) -> np.ndarray:
    texts = column.astype(str).str.strip().str.replace(_UTC, "Z", regex=True)
    moments = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    if moments.isna().any():
        _refuse(column, moments.isna(), where, f"neither a number nor an ISO 8601 date {_EXAMPLES}")
    return _of_datetimes(column, moments, where)


def _of_datetimes(column: pd.Series, moments: pd.Series, where: str) -> np.ndarray:
    microseconds = moments.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    steps = {unit: TIME_UNITS["us"] // ticks for unit, ticks in TIME_UNITS.items()}
    unit = next(unit for unit, step in steps.items() if (microseconds % step == 0).all())
    times = microseconds // steps[unit]
    _check_told_apart(column, times, unit, where)
    return times


def _refuse(column: pd.Series, wrong: np.ndarray | pd.Series, where: str, what: str) -> NoReturn:
    wrong = np.asarray(wrong)
    first = int(np.flatnonzero(wrong)[0])
    raise UserError(
        f"{where}: {int(wrong.sum()):,} of {len(column):,} values are {what}; the first is "
        f"{shown(column.iloc[first])} in data row {column.index[first] + 1}."
    )
