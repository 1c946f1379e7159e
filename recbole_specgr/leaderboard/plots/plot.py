"""What a plot shows, before it is drawn."""

from dataclasses import dataclass, field
from typing import Literal

Number = int | float
Place = str | Number  # of a point along the x axis


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: what is measured, with its unit.
        log: by powers of ten; what is not above 0 is left out.
        categories: the values are names or are treated as such, evenly spaced in the order in which they come.
    """

    title: str = ""
    log: bool = False
    categories: bool = False


@dataclass
class Series:
    """A line, bars, or one labelled point.

    Attributes:
        name: "" for the only one of its plot.
        x, y: places and values, [N].
        low, high: ends of each value's interval, [N]; empty where none is known.
        x_low, x_high: the same along the x axis, of points.
        notes: what is said of each point when one hovers over it, [N]; empty: its place and value.
        kind: how it is drawn.
        right: its values are on the axis at the right.
        grey: drawn in grey and named by hovering only: there are too many to tell apart.
        colour: number of its colour; None: its own.
    """

    name: str
    x: list[Place]
    y: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    x_low: list[float] = field(default_factory=list)
    x_high: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kind: Literal["line", "bar", "point"] = "line"
    right: bool = False
    grey: bool = False
    colour: int | None = None


@dataclass
class Plot:
    """A titled plot.

    Attributes:
        right: the axis at the right, for series that are on it.
        sideways: bars lie, each with its name at the left: for names too long to stand below them.
        legend: names of the colours, where these mean more than one series (groups of models).
    """

    title: str
    series: list[Series]
    x: Axis = Axis()
    y: Axis = Axis()
    right: Axis | None = None
    sideways: bool = False
    legend: list[str] = field(default_factory=list)
