"""The arithmetic of the timestamp split: exact integer times, the two cuts, and items held back until a launch.

Everything here works on plain numpy arrays and knows nothing of RecBole, so that the importer's statistics and
the data set itself cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from fractions import Fraction
from numbers import Real

import numpy as np

from recbole_specgr.system.errors import UserError

PHASES = ("train", "valid", "test")
#: Ticks per second of every unit a time column may be in. Told apart by size: 1e11 s is the year 5138, 1e11 ms is 1973.
TIME_UNITS = {"s": 1, "ms": 10**3, "us": 10**6}
_EXACT_IN_FLOAT64 = 2**53


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
        (np.abs(values) > _EXACT_IN_FLOAT64, "too large to be exact", "store the times in seconds or milliseconds"),
        (values != np.floor(values), "fractional", "store them as whole seconds or milliseconds"),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"{int(wrong.sum()):,} of {len(values):,} values of the time field [{field}] are {what} "
                f"(the first is [{values[first]}] in row {first + 1}): {advice}; "
                "scripts/import_dataset.py writes exact whole times."
            )
    return values.astype(np.int64)


def time_unit(times: Sequence[int] | np.ndarray) -> str:
    """The unit ("s", "ms" or "us") that these integer times are in, judged by their largest magnitude."""
    largest = int(np.abs(np.asarray(times)).max()) if len(times) else 0
    return "s" if largest < 10**11 else "ms" if largest < 10**14 else "us"


def readable_time(time: int, unit: str | None = None) -> str:
    """An integer time with its UTC date, for messages: `893286638 (1998-04-22 23:10:38)`."""
    try:
        moment = datetime.fromtimestamp(time / TIME_UNITS[unit or time_unit([time])], tz=timezone.utc)
    except (OverflowError, ValueError, OSError):
        return str(time)
    return f"{time} ({moment:%Y-%m-%d %H:%M:%S})"


def split_times(times: np.ndarray, setting: Sequence[Real]) -> tuple[int, int]:
    """`timestamp_split: [t_valid, t_test]` -> two exact integer times in the data's own unit.

    Below 1 the two numbers are quantiles of `times` [N]: the result is the smallest time that is not before the
    linearly interpolated quantile, so that phases are those of `numpy.quantile` without its rounding. Otherwise they
    are absolute. A time equal to a cut belongs to the later phase.

    Raises UserError for anything else than two ascending quantiles or two ascending whole times in the unit of the
    data.
    """
    where = f"timestamp_split [{setting}]"
    if isinstance(setting, str) or not isinstance(setting, Sequence | np.ndarray) or len(setting) != 2:
        raise UserError(f"{where} must be two numbers, [t_valid, t_test], for example [0.8, 0.9].")
    if not all(isinstance(cut, Real) and not isinstance(cut, bool) and math.isfinite(cut) for cut in setting):
        raise UserError(f"{where} must hold numbers: quantiles below 1, or times in the unit of the data.")
    if not setting[0] < setting[1]:
        raise UserError(f"{where} must ascend: validation starts at the first, test at the second.")
    if len(times) == 0:
        raise UserError(f"{where} cannot be applied: there are no interactions.")
    if setting[0] > 0 and setting[1] < 1:
        ordered = np.sort(times)
        # Fraction(str()) because 0.7 * 10 is not always 7 in floating point.
        return tuple(int(ordered[math.ceil(Fraction(str(cut)) * (len(ordered) - 1))]) for cut in setting)
    if any(cut != int(cut) for cut in setting):
        raise UserError(
            f"{where} must be two quantiles above 0 and below 1, or two whole numbers in the unit of the data's times."
        )
    cuts = (int(setting[0]), int(setting[1]))
    data, given = time_unit(times), time_unit(cuts)
    if data != given and not (times.min() < cuts[0] and cuts[1] <= times.max()):
        raise UserError(
            f"{where} looks like times in {given}, but the data's times are in {data}: they run from "
            f"{readable_time(int(times.min()), data)} to {readable_time(int(times.max()), data)}. "
            f"Give the two cuts in {data}."
        )
    return cuts


def first_times(items: np.ndarray, times: np.ndarray, n_items: int) -> np.ndarray:
    """int64 [n_items]: when each item occurs first; the largest int64 for an item that never occurs."""
    first = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    return first


def launch_times(tokens: Sequence[str], setting: Mapping, cuts: tuple[int, int]) -> dict[str, int]:
    """`launch_holdout: {share, seed}` -> the held-back items' tokens with the time before which they did not exist.

    The draw is over the sorted `tokens` (those of all interacted items), so it depends on nothing else than them and
    the seed. One half launches at t_valid, the other, smaller by at most one, at t_test.

    Raises UserError for a share outside (0, 1), a missing or negative seed, or another key.
    """
    unknown = set(setting) - {"share", "seed"} if isinstance(setting, Mapping) else {"not a mapping"}
    if unknown or set(setting) != {"share", "seed"}:
        raise UserError(
            f"launch_holdout [{setting}] must be a mapping of exactly two keys: {{share: 0.2, seed: 2026}}."
        )
    share, seed = setting["share"], setting["seed"]
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < share < 1:
        raise UserError(f"launch_holdout.share [{share}] must be a number above 0 and below 1.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"launch_holdout.seed [{seed}] must be a whole number, 0 or above.")
    tokens = sorted(tokens)
    drawn = np.random.default_rng(seed).permutation(len(tokens))[: round(share * len(tokens))]
    half = (len(drawn) + 1) // 2
    return {tokens[item]: cuts[order >= half] for order, item in enumerate(drawn)}
