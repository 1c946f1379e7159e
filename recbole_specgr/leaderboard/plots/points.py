"""Labelled points with their intervals along both axes."""

from collections.abc import Iterator

from recbole_specgr.leaderboard.plots import svg
from recbole_specgr.leaderboard.plots.labels import beside_points, width_of
from recbole_specgr.leaderboard.plots.plot import Plot, Series
from recbole_specgr.leaderboard.plots.scales import Scale
from recbole_specgr.leaderboard.plots.style import Frame, colour_of


def labelled_points(points: list[Series], plot: Plot, frame: Frame, across: Scale, scale: Scale) -> Iterator[str]:
    """Each point with its intervals and its name beside it, on a thin line where it had to move away."""
    yield _intervals(points, plot, frame, across, scale)
    at = [(frame.x(across(point.x[0]) or 0.0), frame.y(scale(point.y[0]) or 0.0)) for point in points]
    names = [series.name for series in points]
    for (x, y), name, (left, middle) in zip(at, names, beside_points(at, names, svg.SIZE, frame)):
        if abs(middle - y) > svg.SIZE / 2 + 1:
            yield svg.line(x, y, left - 2 if left > x else left + width_of(name, svg.SIZE) + 2, middle, svg.GREY)
        yield svg.text(left, middle, name)
    for (x, y), series in zip(at, points):
        yield svg.dot(x, y, colour_of(series, plot), radius=4)  # its numbers are in the table below the picture


def _intervals(points: list[Series], plot: Plot, frame: Frame, across: Scale, scale: Scale) -> str:
    """Of points, along both axes, as pale lines."""
    ends: dict[str, list[tuple[float, float, float, float]]] = {}
    for series in points:
        mine = ends.setdefault(colour_of(series, plot), [])
        x, y = frame.x(across(series.x[0]) or 0.0), frame.y(scale(series.y[0]) or 0.0)
        if series.low and series.low[0] < series.high[0]:
            low, high = (frame.y(scale(end) or 0.0) for end in (series.low[0], series.high[0]))
            mine.append((x, low, x, high))
        if series.x_low and series.x_low[0] < series.x_high[0]:
            low, high = (frame.x(across(end) or 0.0) for end in (series.x_low[0], series.x_high[0]))
            mine.append((low, y, high, y))
    return f'<g opacity=".45">{"".join(svg.segments(mine, colour) for colour, mine in ends.items())}</g>'
