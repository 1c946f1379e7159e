"""What all plots have in common: sizes, the frame, colours, the legend above it, what one reads when hovering."""

from collections.abc import Iterator
from dataclasses import dataclass

from recbole_specgr.leaderboard.plots import svg
from recbole_specgr.leaderboard.plots.labels import Box, width_of
from recbole_specgr.leaderboard.plots.plot import Plot, Series
from recbole_specgr.leaderboard.plots.scales import named

WIDTH, HEIGHT = 480, 340
TOP, EDGE = 36, 14  # margins
LINE = 15  # height of a line of text


@dataclass(frozen=True)
class Frame(Box):
    """The rectangle that is drawn in; x and y take shares of it, from the left and from the bottom."""

    def x(self, share: float) -> float:
        return self.left + share * self.width

    def y(self, share: float) -> float:
        return self.top + (1 - share) * self.height


def keys_of(plot: Plot) -> list[tuple[str, str]]:
    """Colour and name of what the legend above the frame explains: groups of points, and bars of several kinds."""
    if plot.legend:
        return [(svg.COLOURS[number % len(svg.COLOURS)], name) for number, name in enumerate(plot.legend)]
    bars = [series for series in plot.series if series.kind == "bar" and series.name]
    return [(colour_of(series, plot), series.name) for series in bars]


def rows_of(keys: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
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


def legend(keys: list[tuple[str, str]], top: float) -> Iterator[str]:
    for number, row in enumerate(rows_of(keys)):
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


def colour_of(series: Series, plot: Plot) -> str:
    return svg.GREY if series.grey else svg.COLOURS[_number_of(series, plot) % len(svg.COLOURS)]


def dash_of(series: Series, plot: Plot) -> str:
    return "" if series.grey else svg.DASHES[_number_of(series, plot) % len(svg.DASHES)]


def says_of(series: Series, at: int) -> str:
    says = series.notes[at] if series.notes else f"{named(series.x[at])}: {series.y[at]:.4g}"
    return f"{series.name}, {says}" if series.name else says


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(1, most - 1)]}…"
