"""A study's points -> its plots.

plots:
  - x: an axis, a value key, or `label`
    lines, bars: value keys or mappings as columns of its table are (`study_view`); with both, bars have the axis on the
      right
    only: labels; log: [x, y]; title
"""

from collections.abc import Sequence
from typing import Any

from recbole_specgr.leaderboard.plots.plot import Axis, Place, Plot, Series
from recbole_specgr.leaderboard.study_data import Point, StudyData
from recbole_specgr.leaderboard.study_view import column_spec, name_of, nearest_key, value_of

MOST_LINES = 8  # in colour


def study_plots(data: StudyData) -> list[Plot]:
    return [_plot(data, **plot) for plot in data.study.plots]


def _plot(
    data: StudyData,
    x: str,
    lines: Sequence[Any] = (),
    bars: Sequence[Any] = (),
    only: Sequence[str] = (),
    log: Sequence[str] = (),
    title: str = "",
) -> Plot:
    points = [point for point in data.points if not only or point.label in only]
    x = nearest_key(data, x)
    line_specs, bar_specs = [column_spec(data, line) for line in lines], [column_spec(data, bar) for bar in bars]
    series = [one for spec in bar_specs for one in _series(data, points, x, spec, len(bars) > 1, bool(lines))]
    for one in series:
        one.kind, one.right = "bar", bool(lines)
    drawn = [one for spec in line_specs for one in _series(data, points, x, spec, len(lines) > 1, False)]
    _grey_out(drawn, data)
    by_name = x in data.axes and (bool(bars) or any(isinstance(point.axes.get(x), str) for point in points))
    return Plot(
        title or (data.study.title if not only else f"{data.study.title}: {', '.join(only)}"),
        [*series, *drawn],
        Axis("" if x == "label" else name_of(x), "x" in log, by_name),
        Axis(_together(line_specs or bar_specs), "y" in log),
        Axis(_together(bar_specs)) if lines and bars else None,
        sideways=x == "label" and not lines,
    )


def _series(
    data: StudyData, points: list[Point], x: str, spec: dict[str, Any], several: bool, right: bool
) -> list[Series]:
    """One series for each label and each value of the axes that are not on the x axis; over labels, for each value of
    the axes.

    Args:
        several: the plot shows more than this key in the same way.
        right: it is on the axis at the right.
    """
    split = [axis for axis in data.axes if axis != x] if x in data.axes or x == "label" else []
    split = [axis for axis in split if len({point.axes.get(axis) for point in points}) > 1]
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in points:
        key = ("" if x == "label" else point.label, *(point.axes.get(axis) for axis in split))
        groups.setdefault(key, []).append(point)
    labels = {point.label for point in points}
    found = []
    for (label, *rest), members in groups.items():
        named = [label] if len(labels) > 1 and label else []
        named += [f"{name_of(axis)} {value}" for axis, value in zip(split, rest) if value is not None]
        named += [spec["title"]] if several or right or (not named and x != "label") else []
        series = Series(", ".join(named), [], [])
        for point in members:
            place, value = _place(point, x), value_of(data, point, spec)
            if place is None or value is None:
                continue
            around = value.deviation or 0.0
            series.x.append(place)
            series.y.append(value.mean)
            series.low.append(value.mean - around)
            series.high.append(value.mean + around)
            if x not in data.axes and x != "label":
                at = ", ".join(f"{name_of(axis)} {value}" for axis, value in point.axes.items())
                series.notes.append(f"{at}: {value.mean:.4g}")
        if series.x:
            found.append(series)
    return found


def _grey_out(lines: list[Series], data: StudyData) -> None:
    """Leave the most important lines in colour where there are more than one can tell apart."""
    if len(lines) <= MOST_LINES:
        return
    first = [line for line in lines if line.name in data.highlighted]
    coloured = (first or lines)[:MOST_LINES]
    for line in lines:
        line.grey = not any(line is other for other in coloured)


def _place(point: Point, x: str) -> Place | None:
    if x == "label":
        return point.label
    if x in point.axes:
        place: Place = point.axes[x]
        return place
    return point.values[x].mean if x in point.values else None


def _together(specs: list[dict[str, Any]]) -> str:
    """An axis' title: what the names of all that is drawn over it end with, or all of them."""
    titles = list(dict.fromkeys(spec["title"] for spec in specs))
    words = [title.split(" ") for title in titles]
    shared = [group[0] for group in zip(*(reversed(part) for part in words)) if len(set(group)) == 1]
    return " ".join(reversed(shared)) if len(titles) > 1 and shared else ", ".join(titles)
