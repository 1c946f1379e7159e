"""Plot -> SVG: lines named at their ends, upright or lying bars, labelled points."""

from collections.abc import Iterator
from dataclasses import dataclass

from recbole_specgr.leaderboard.plots import svg
from recbole_specgr.leaderboard.plots.labels import Box, beside_points, spread, width_of
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.leaderboard.plots.scales import Scale, named

WIDTH, HEIGHT = 480, 340
LEFT, TOP, BOTTOM, EDGE = 58, 36, 48, 14  # margins
RIGHT_AXIS = 46  # room of the numbers at the right
LINE = 15  # height of a line of text
SAMPLE = 22  # length of a line's sample beside its name
MANY = 30  # points of a line that go without dots
SLANTED, LONGEST = 34, 14  # more room below for slanted names, and their most letters
ROW, NAMES = 26, 190  # of lying bars: height of a name's bars, most room of the names


@dataclass(frozen=True)
class Frame(Box):
    """The rectangle that is drawn in; x and y take shares of it, from the left and from the bottom."""

    def x(self, share: float) -> float:
        return self.left + share * self.width

    def y(self, share: float) -> float:
        return self.top + (1 - share) * self.height


def to_svg(plot: Plot) -> str:
    """The plot, 480 wide; the same plot gives the same bytes."""
    if plot.sideways:
        height, parts = _sideways(plot)
    else:
        height = HEIGHT + (60 if any(series.kind == "point" for series in plot.series) else 0)
        parts = list(_upright(plot, height))
    return svg.document(plot.title, WIDTH, height, [svg.heading(EDGE, 16, plot.title), *parts])


# ---- upright ---------------------------------------------------------------------------------------------------------


def _upright(plot: Plot, height: int) -> Iterator[str]:
    lines = [series for series in plot.series if series.kind == "line" and not series.grey and series.name]
    room = 0.0
    if lines:
        room = min(170.0, SAMPLE + 14 + max(width_of(series.name, svg.SIZE) for series in lines))
    right = room + (RIGHT_AXIS if plot.right else 0) + EDGE
    keys = _keys(plot)
    top = TOP + LINE * len(_rows_of(keys))
    places = [place for series in plot.series for place in [*series.x, *series.x_low, *series.x_high]]
    points = [series for series in plot.series if series.kind == "point"]
    across = Scale(places, _across(plot), from_zero=bool(points), measured=not points)
    bottom = BOTTOM + (SLANTED if _slanted(across, WIDTH - LEFT - right) else 0)
    frame = Frame(LEFT, top, WIDTH - LEFT - right, height - top - bottom)
    yield from _legend(keys, TOP - 4)
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
            yield from _bars(series, _colour(series, plot), frame, across, scale, bars.index(series), len(bars))
        elif series.kind == "line":
            yield from _line(series, plot, frame, across, scale)
    yield from _line_names(lines, plot, frame, across, scales)
    if points:
        yield from _points(points, plot, frame, across, scales[False])


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
            yield svg.text(x + 3, frame.y(0) + 11, _cut(label, LONGEST), "end", turn=-35)
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
        hover = _hover(series, at)
        yield svg.bar(left, min(top, base), width * 0.94, abs(base - top), colour, hover, pale)
        yield from _interval(left + width * 0.47, series, at, frame, scale)


def _line(series: Series, plot: Plot, frame: Frame, across: Scale, scale: Scale) -> Iterator[str]:
    colour = _colour(series, plot)
    places = []
    for at, (place, value) in enumerate(zip(series.x, series.y)):
        x, y = across(place), scale(value)
        if x is not None and y is not None:
            places.append((at, frame.x(x), frame.y(y)))
    path = svg.polyline([(x, y) for _, x, y in places], colour, _dash(series, plot), 1 if series.grey else 2)
    if series.grey:
        yield svg.named_group(series.name, [path], "grey")
        return
    yield svg.named_group(series.name, [path])
    if len(places) > MANY:
        return
    for at, x, y in places:
        yield from _interval(x, series, at, frame, scale)
        yield svg.dot(x, y, colour, _hover(series, at))


def _interval(x: float, series: Series, at: int, frame: Frame, scale: Scale) -> Iterator[str]:
    if series.low and series.low[at] < series.high[at]:
        low, high = scale(series.low[at]), scale(series.high[at])
        if low is not None and high is not None:
            yield svg.axis_line(x, frame.y(low), x, frame.y(high))


def _intervals(points: list[Series], plot: Plot, frame: Frame, across: Scale, scale: Scale) -> str:
    """Of points, along both axes, as pale lines."""
    ends: dict[str, list[tuple[float, float, float, float]]] = {}
    for series in points:
        mine = ends.setdefault(_colour(series, plot), [])
        x, y = frame.x(across(series.x[0]) or 0.0), frame.y(scale(series.y[0]) or 0.0)
        if series.low and series.low[0] < series.high[0]:
            low, high = (frame.y(scale(end) or 0.0) for end in (series.low[0], series.high[0]))
            mine.append((x, low, x, high))
        if series.x_low and series.x_low[0] < series.x_high[0]:
            low, high = (frame.x(across(end) or 0.0) for end in (series.x_low[0], series.x_high[0]))
            mine.append((low, y, high, y))
    return f'<g opacity=".45">{"".join(svg.segments(mine, colour) for colour, mine in ends.items())}</g>'


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
        colour = _colour(series, plot)
        if not plot.right:
            yield svg.polyline([(x + 5, y), (frame.x(1) + 4, y), (left - 2, height)], svg.GREY, "", 0.6)
        yield svg.polyline([(left, height), (left + SAMPLE - 4, height)], colour, _dash(series, plot))
        yield svg.text(left + SAMPLE, height, _cut(series.name, most))


def _points(points: list[Series], plot: Plot, frame: Frame, across: Scale, scale: Scale) -> Iterator[str]:
    """Each point with its intervals and its name beside it, on a thin line where it had to move away."""
    yield _intervals(points, plot, frame, across, scale)
    at = [(frame.x(across(point.x[0]) or 0.0), frame.y(scale(point.y[0]) or 0.0)) for point in points]
    names = [series.name for series in points]
    for (x, y), name, (left, middle) in zip(at, names, beside_points(at, names, svg.SIZE, frame)):
        if abs(middle - y) > svg.SIZE / 2 + 1:
            yield svg.line(x, y, left - 2 if left > x else left + width_of(name, svg.SIZE) + 2, middle, svg.GREY)
        yield svg.text(left, middle, name)
    for (x, y), series in zip(at, points):
        yield svg.dot(x, y, _colour(series, plot), radius=4)  # its numbers are in the table below the picture


# ---- lying bars ------------------------------------------------------------------------------------------------------


def _sideways(plot: Plot) -> tuple[int, list[str]]:
    """The height, and the parts: a row a name, in it a bar a series with its value behind it."""
    names = list(dict.fromkeys(str(place) for series in plot.series for place in series.x))
    thick = ROW if len(plot.series) == 1 else LINE * len(plot.series) + 8
    keys = _keys(plot)
    top = TOP + LINE * len(_rows_of(keys)) - 6
    left = min(NAMES, max(width_of(name, svg.SIZE) for name in names)) + EDGE + 8
    height = int(top + thick * len(names) + 34)
    frame = Frame(left, top, WIDTH - left - 60, thick * len(names))
    values = [value for series in plot.series for value in [*series.y, *series.high]]
    scale = Scale(values, plot.y, from_zero=True)
    parts = list(_legend(keys, TOP - 4))
    for share, label in scale.ticks():
        parts.append(svg.grid_line(frame.x(share), top, frame.x(share), top + frame.height))
        parts.append(svg.text(frame.x(share), top + frame.height + 10, label, "middle"))
    most = int(NAMES / svg.LETTER_WIDTH)
    for row, name in enumerate(names):
        parts.append(svg.text(left - 8, top + (row + 0.5) * thick, _cut(name, most), "end"))
    deep = (thick - 8) / len(plot.series)
    base = frame.x(scale(0) or 0.0)
    for number, series in enumerate(plot.series):
        for at, (place, value) in enumerate(zip(series.x, series.y)):
            y = top + names.index(str(place)) * thick + 4 + number * deep
            end = frame.x(scale(value) or 0.0)
            hover = _hover(series, at)
            parts.append(svg.bar(min(base, end), y, abs(end - base), deep * 0.9, _colour(series, plot), hover))
            behind = end
            if series.low and series.low[at] < series.high[at]:
                low, high = (frame.x(scale(edge) or 0.0) for edge in (series.low[at], series.high[at]))
                parts.append(svg.axis_line(low, y + deep * 0.45, high, y + deep * 0.45))
                behind = high
            parts.append(svg.text(behind + 5, y + deep * 0.45, _value(value)))
    parts.append(svg.axis_line(base, top, base, top + frame.height))
    parts.append(svg.text(frame.x(0.5), height - 8, plot.y.title, "middle"))
    return height, parts


# ---- what all have ---------------------------------------------------------------------------------------------------


def _keys(plot: Plot) -> list[tuple[str, str]]:
    """Colour and name of what the legend above the frame explains: groups of points, and bars of several kinds."""
    if plot.legend:
        return [(svg.COLOURS[number % len(svg.COLOURS)], name) for number, name in enumerate(plot.legend)]
    bars = [series for series in plot.series if series.kind == "bar" and series.name]
    return [(_colour(series, plot), series.name) for series in bars]


def _rows_of(keys: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The legend's lines, as many entries in each as fit."""
    rows: list[list[tuple[str, str]]] = []
    room = 0.0
    for key in keys:
        room -= width_of(key[1], svg.SIZE) + 32
        if room < 0:
            rows.append([])
            room = WIDTH - 2 * EDGE - width_of(key[1], svg.SIZE) - 32
        rows[-1].append(key)
    return rows


def _legend(keys: list[tuple[str, str]], top: float) -> Iterator[str]:
    for number, row in enumerate(_rows_of(keys)):
        x, y = float(EDGE), top + number * LINE
        for colour, name in row:
            yield f'<rect x="{svg.number(x)}" y="{svg.number(y - 5)}" width="10" height="10" fill="{colour}"/>'
            yield svg.text(x + 15, y, name)
            x += width_of(name, svg.SIZE) + 32


def _own(plot: Plot) -> list[Series]:
    return [series for series in plot.series if not series.grey and series.colour is None]


def _number_of(series: Series, plot: Plot) -> int:
    if series.colour is not None:
        return series.colour
    return next(at for at, other in enumerate(_own(plot)) if other is series)


def _colour(series: Series, plot: Plot) -> str:
    return svg.GREY if series.grey else svg.COLOURS[_number_of(series, plot) % len(svg.COLOURS)]


def _dash(series: Series, plot: Plot) -> str:
    return "" if series.grey else svg.DASHES[_number_of(series, plot) % len(svg.DASHES)]


def _hover(series: Series, at: int) -> str:
    says = series.notes[at] if series.notes else f"{named(series.x[at])}: {series.y[at]:.4g}"
    return f"{series.name}, {says}" if series.name else says


def _value(value: float) -> str:
    if value and abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(1, most - 1)]}…"
