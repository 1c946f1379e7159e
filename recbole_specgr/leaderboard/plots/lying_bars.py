"""Bars that lie, each with its name at the left and its value behind it."""

from recbole_specgr.leaderboard.plots import svg
from recbole_specgr.leaderboard.plots.labels import width_of
from recbole_specgr.leaderboard.plots.plot import Plot
from recbole_specgr.leaderboard.plots.scales import Scale
from recbole_specgr.leaderboard.plots.style import (
    EDGE,
    LINE,
    TOP,
    WIDTH,
    Frame,
    colour_of,
    cut,
    keys_of,
    legend,
    rows_of,
    says_of,
)

ROW, NAMES = 26, 190  # height of a name's bars, most room of the names


def lying_bars(plot: Plot) -> tuple[int, list[str]]:
    """The height, and the parts: a row a name, in it a bar a series with its value behind it."""
    names = list(dict.fromkeys(str(place) for series in plot.series for place in series.x))
    thick = ROW if len(plot.series) == 1 else LINE * len(plot.series) + 8
    keys = keys_of(plot)
    top = TOP + LINE * len(rows_of(keys)) - 6
    left = min(NAMES, max(width_of(name, svg.SIZE) for name in names)) + EDGE + 8
    height = int(top + thick * len(names) + 34)
    frame = Frame(left, top, WIDTH - left - 60, thick * len(names))
    values = [value for series in plot.series for value in [*series.y, *series.high]]
    scale = Scale(values, plot.y, from_zero=True)
    parts = list(legend(keys, TOP - 4))
    for share, label in scale.ticks():
        parts.append(svg.grid_line(frame.x(share), top, frame.x(share), top + frame.height))
        parts.append(svg.text(frame.x(share), top + frame.height + 10, label, "middle"))
    most = int(NAMES / svg.LETTER_WIDTH)
    for row, name in enumerate(names):
        parts.append(svg.text(left - 8, top + (row + 0.5) * thick, cut(name, most), "end"))
    deep = (thick - 8) / len(plot.series)
    base = frame.x(scale(0) or 0.0)
    for number, series in enumerate(plot.series):
        for at, (place, value) in enumerate(zip(series.x, series.y)):
            y = top + names.index(str(place)) * thick + 4 + number * deep
            end = frame.x(scale(value) or 0.0)
            says = says_of(series, at)
            parts.append(svg.bar(min(base, end), y, abs(end - base), deep * 0.9, colour_of(series, plot), says))
            behind = end
            if series.low and series.low[at] < series.high[at]:
                low, high = (frame.x(scale(edge) or 0.0) for edge in (series.low[at], series.high[at]))
                parts.append(svg.axis_line(low, y + deep * 0.45, high, y + deep * 0.45))
                behind = high
            parts.append(svg.text(behind + 5, y + deep * 0.45, _value(value)))
    parts.append(svg.axis_line(base, top, base, top + frame.height))
    parts.append(svg.text(frame.x(0.5), height - 8, plot.y.title, "middle"))
    return height, parts


def _value(value: float) -> str:
    if value and abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
