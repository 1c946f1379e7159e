"""Values -> places along an axis, and the ticks of the axis."""

import math
from collections.abc import Sequence

from recbole_specgr.leaderboard.plots.plot import Axis, Number, Place

MOST_MEASURED = 9  # more different values than this get round ticks in place of their own,
LONGEST_MEASURED = 6  # and so do values of more characters


class Scale:
    """Values -> 0 to 1 along an axis.

    Args:
        values: all that the axis has to hold.
        axis: logarithms, categories or numbers.
        from_zero: start at 0, as bars do.
        measured: put ticks at the values themselves, where these are few.
    """

    def __init__(self, values: Sequence[Place], axis: Axis, from_zero: bool = False, measured: bool = False) -> None:
        self.log = axis.log
        self.names = list(dict.fromkeys(map(named, values)))
        self.categories = axis.categories or any(isinstance(value, str) for value in values)
        self.numbers = sorted({value for value in values if not isinstance(value, str) and (value > 0 or not axis.log)})
        short = all(len(named(number)) <= LONGEST_MEASURED for number in self.numbers)
        self._measured = measured and short and len(self.numbers) <= MOST_MEASURED
        ends = [self._plain(number) for number in self.numbers] or [0.0, 1.0]
        low, high = min(ends), max(ends)
        if from_zero and not self.log:
            low, high = min(0.0, low), max(0.0, high)
        margin = 0.05 * (high - low) or 0.1 * abs(high) or 1.0
        self.low = low if from_zero and low == 0 else low - margin
        self.high = high + margin

    def __call__(self, value: Place) -> float | None:
        """None for what a logarithm does not have."""
        if self.categories:
            return (self.names.index(named(value)) + 0.5) / len(self.names)
        assert not isinstance(value, str)
        if self.log and value <= 0:
            return None
        return (self._plain(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Places from 0 to 1 with their labels."""
        values: Sequence[Place]
        if self.categories:
            values = self.names
        elif self._measured:
            values = self.numbers
        elif self.log:
            values = self._round_powers()
        else:
            step = _step((self.high - self.low) / 5)
            values = [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [(place, named(value)) for value in values if (place := self(value)) is not None]

    def _round_powers(self) -> list[float]:
        """Powers of ten, or where there are too few of them 1, 2 and 5 times these."""
        powers = [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]
        if len(powers) > 2:
            return powers
        steps = [
            factor * 10.0**power
            for power in range(math.floor(self.low), math.ceil(self.high) + 1)
            for factor in (1, 2, 5)
        ]
        return [step for step in steps if self.low <= math.log10(step) <= self.high]

    def _plain(self, value: Number) -> float:
        return math.log10(value) if self.log else value


def named(value: Place) -> str:
    """As a tick has it."""
    if isinstance(value, str):
        return value
    rounded = round(value, 10)
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 and rounded == int(rounded) else f"{rounded:g}"


def _step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
