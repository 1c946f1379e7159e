"""Plot -> SVG: lines named at their ends, bars, labelled points."""

from collections.abc import Iterator

from recbole_specgr.leaderboard.plots import svg
from recbole_specgr.leaderboard.plots.labels import spread, width_of
from recbole_specgr.leaderboard.plots.lying_bars import lying_bars
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.leaderboard.plots.points import labelled_points
from recbole_specgr.leaderboard.plots.scales import Scale
from recbole_specgr.leaderboard.plots.style import (
    EDGE,
    HEIGHT,
    LINE,
    TOP,
    WIDTH,
    Frame,
    colour_of,
    cut,
    dash_of,
    keys_of,
    legend,
    rows_of,
    says_of,
)

LEFT, BOTTOM = 58, 48  # margins
RIGHT_AXIS = 46  # room of the numbers at the right
SAMPLE = 22  # length of a line's sample beside its name
MANY = 30  # points of a line that go without dots
SLANTED, LONGEST = 34, 14  # more room below for slanted names, and their most letters


def to_svg(plot: Plot) -> str:
    """The plot, 480 wide; the same plot gives the same bytes."""
    if plot.sideways:
        height, parts = lying_bars(plot)
    else:
        height = HEIGHT + (60 if any(series.kind == "point" for series in plot.series) else 0)
        parts = list(_upright(plot, height))
    return svg.document(plot.title, WIDTH, height, [svg.heading(EDGE, 16, plot.title), *parts])


def _upright(plot: Plot, height: int) -> Iterator[str]:
    lines = [series for series in plot.series if series.kind == "line" and not series.grey and series.name]
    room = 0.0
    if lines:
        room = min(170.0, SAMPLE + 14 + max(width_of(series.name, svg.SIZE) for series in lines))
    right = room + (RIGHT_AXIS if plot.right else 0) + EDGE
    keys = keys_of(plot)
    top = TOP + LINE * len(rows_of(keys))
    places = [place for series in plot.series for place in [*series.x, *series.x_low, *series.x_high]]
    points = [series for series in plot.series if series.kind == "point"]
    across = Scale(places, _across(plot), from_zero=bool(points), measured=not points)
    bottom = BOTTOM + (SLANTED if _slanted(across, WIDTH - LEFT - right) else 0)
    frame = Frame(LEFT, top, WIDTH - LEFT - right, height - top - bottom)
    yield from legend(keys, TOP - 4)
    scales = {}
    for side, axis in ((False, plot.y), (True, plot.right)):
        mine = [series for series in plot.series if series.right == side]
        if mine and axis:
            values = [value for series in mine for value in [*series.y, *series.low, *series.high]]
            scales[side] = Scale(values, axis, from_zero=any(series.kind == "bar" for series in mine))
            yield from _side(scales[side], axis, frame, side)
    yield from _bottom(across, plot.x, frame, height)
    bars = [series for series in plot.series if series.kind == "bar"]
    for series in sorted(plot.series, key=lambda series: (series.kind != "bar", not series.grey)):
        scale = scales[series.right]
        if series.kind == "bar":
            yield from _bars(series, colour_of(series, plot), frame, across, scale, bars.index(series), len(bars))
        elif series.kind == "line":
            yield from _line(series, plot, frame, across, scale)
    yield from _line_names(lines, plot, frame, across, scales)
    if points:
        yield from labelled_points(points, plot, frame, across, scales[False])


def _across(plot: Plot) -> Axis:
    """Bars stand over categories."""
    bars = any(series.kind == "bar" for series in plot.series)
    return Axis(plot.x.title, plot.x.log, plot.x.categories or bars)


def _side(scale: Scale, axis: Axis, frame: Frame, right: bool) -> Iterator[str]:
    """The y axis at the left with its grid, or the one at the right."""
    for share, label in scale.ticks():
        y = frame.y(share)
        if right:
            yield svg.text(frame.x(1) + 6, y, label)
        else:
            yield svg.grid_line(frame.left, y, frame.x(1), y)
            yield svg.text(frame.left - 6, y, label, "end")
    yield svg.text(frame.x(1) + RIGHT_AXIS - 4 if right else 10, frame.y(0.5), axis.title, "middle", turn=-90)


def _bottom(scale: Scale, axis: Axis, frame: Frame, height: int) -> Iterator[str]:
    """The x axis. Numbers that would touch are left out; names that would are slanted."""
    yield svg.axis_line(frame.left, frame.y(0), frame.x(1), frame.y(0))
    last, slanted = float("-inf"), _slanted(scale, frame.width)
    for share, label in scale.ticks():
        x = frame.x(share)
        half = width_of(label, svg.SIZE) / 2
        yield svg.axis_line(x, frame.y(0), x, frame.y(0) + 4)
        if slanted:
            yield svg.text(x + 3, frame.y(0) + 11, cut(label, LONGEST), "end", turn=-35)
        elif x - half > last + 3:
            yield svg.text(x, frame.y(0) + 14, label, "middle")
            last = x + half
    if axis.title:
        yield svg.text(frame.x(0.5), height - 12, axis.title, "middle")


def _slanted(scale: Scale, width: float) -> bool:
    return scale.categories and any(
        width_of(label, svg.SIZE) > width / len(scale.names) - 3 for _, label in scale.ticks()
    )


def _bars(
    series: Series, colour: str, frame: Frame, across: Scale, scale: Scale, number: int, of: int
) -> Iterator[str]:
    width = 0.7 / len(across.names) / of * frame.width
    for at, (place, value) in enumerate(zip(series.x, series.y)):
        share = across(place) or 0.0
        left = frame.x(share) + (number - of / 2) * width
        top, base = frame.y(scale(value) or 0.0), frame.y(scale(0) or 0.0)
        pale = 0.45 if series.right else 1
        says = says_of(series, at)
        yield svg.bar(left, min(top, base), width * 0.94, abs(base - top), colour, says, pale)
        yield from _interval(left + width * 0.47, series, at, frame, scale)


def _line(series: Series, plot: Plot, frame: Frame, across: Scale, scale: Scale) -> Iterator[str]:
    colour = colour_of(series, plot)
    places = []
    for at, (place, value) in enumerate(zip(series.x, series.y)):
        x, y = across(place), scale(value)
        if x is not None and y is not None:
            places.append((at, frame.x(x), frame.y(y)))
    path = svg.polyline([(x, y) for _, x, y in places], colour, dash_of(series, plot), 1 if series.grey else 2)
    if series.grey:
        yield svg.named_group(series.name, [path], "grey")
        return
    yield svg.named_group(series.name, [path])
    if len(places) > MANY:
        return
    for at, x, y in places:
        yield from _interval(x, series, at, frame, scale)
        yield svg.dot(x, y, colour, says_of(series, at))


def _interval(x: float, series: Series, at: int, frame: Frame, scale: Scale) -> Iterator[str]:
    if series.low and series.low[at] < series.high[at]:
        low, high = scale(series.low[at]), scale(series.high[at])
        if low is not None and high is not None:
            yield svg.axis_line(x, frame.y(low), x, frame.y(high))


def _line_names(
    lines: list[Series], plot: Plot, frame: Frame, across: Scale, scales: dict[bool, Scale]
) -> Iterator[str]:
    """Each line's name at the right, at the height of its end, behind a sample of the line."""
    ends = []
    for series in lines:
        drawn = [
            (x, y)
            for place, value in zip(series.x, series.y)
            if (x := across(place)) is not None and (y := scales[series.right](value)) is not None
        ]
        if drawn:
            ends.append((series, frame.x(drawn[-1][0]), frame.y(drawn[-1][1])))
    left = frame.x(1) + (RIGHT_AXIS if plot.right else 0) + 12
    heights = spread([y for _, _, y in ends], LINE, frame.top + 4, frame.top + frame.height)
    most = int((WIDTH - 4 - left - SAMPLE) / svg.LETTER_WIDTH)
    for (series, x, y), height in zip(ends, heights):
        colour = colour_of(series, plot)
        if not plot.right:
            yield svg.polyline([(x + 5, y), (frame.x(1) + 4, y), (left - 2, height)], svg.GREY, "", 0.6)
        yield svg.polyline([(left, height), (left + SAMPLE - 4, height)], colour, dash_of(series, plot))
        yield svg.text(left + SAMPLE, height, cut(series.name, most))
