"""Plots: where values, ticks and labels come to stand, read from the SVG itself."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.plots.labels import Box, beside_points, spread, width_of
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.leaderboard.plots.scales import Scale, named
from recbole_specgr.leaderboard.study_data import Point, StudyData
from recbole_specgr.leaderboard.study_plots import study_plots
from recbole_specgr.leaderboard.summary import Value
from recbole_specgr.studies.spec import read_study


def drawn(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", to_svg(plot)))


def texts(plot: Plot) -> list[str]:
    return [element.text for element in drawn(plot).iter("text")]


def lines(count: int) -> list[Series]:
    return [Series(f"model {number}", [20, 50, 100], [0.1 * number, 0.2, 0.1 + number]) for number in range(count)]


def test_labels_are_moved_apart_and_stay_near():
    wanted = [10.0, 11.0, 12.0, 80.0]
    places = spread(wanted, 15, 0, 100)
    assert places == [10, 25, 40, 80]
    assert spread([99.0, 98.0, 50.0], 15, 0, 100) == [100, 85, 50]  # pushed up from the lower edge
    assert spread([], 15, 0, 100) == []


def test_names_beside_points_cover_no_other_name():
    points = [(60.0, 100.0 + number) for number in range(8)] + [(200.0, 103.0)]
    names = [f"a model {number}" for number in range(9)]
    places = beside_points(points, names, 12, Box(50, 20, 400, 300))
    boxes = [Box(left, middle - 6, width_of(name, 12), 12) for (left, middle), name in zip(places, names)]
    assert not any(one.meets(other) for one, other in combinations(boxes, 2))
    assert all(box.left >= 50 and box.left + box.width <= 450 and 20 <= box.top <= 308 for box in boxes)


@pytest.mark.parametrize(
    ("values", "axis", "labels"),
    [
        ([20, 50, 100], Axis(), ["20", "50", "100"]),  # as measured
        ([64, 256, 4096], Axis(log=True), ["64", "256", "4,096"]),
        ([0.123456, 0.523456], Axis(), ["0.2", "0.3", "0.4", "0.5"]),  # measured, but nothing one could read
        (["w", "w/o"], Axis(), ["w", "w/o"]),
        (list(range(1, 101)), Axis(), ["0", "50", "100"]),
    ],
)
def test_ticks(values, axis, labels):
    found = [label for _, label in Scale(values, axis, measured=True).ticks()]
    assert found == labels or set(labels) <= set(found)


def test_places_along_an_axis():
    log = Scale([1, 10, 100], Axis(log=True))
    assert log(10) == pytest.approx(0.5) and log(0) is None
    bars = Scale([2.0, 4.0], Axis(), from_zero=True)
    assert bars(0) == 0 and bars(4.0) == pytest.approx(4.0 / 4.2)
    assert named(12345.0) == "12,345" and named(0.1 + 0.2) == "0.3"


def test_a_line_is_where_its_values_are_and_its_name_at_its_end():
    svg = drawn(Plot("T", [Series("one", [0, 1, 2], [0.0, 0.5, 1.0]), Series("two", [0, 1, 2], [1.0, 1.0, 0.0])]))
    path = next(svg.iter("polyline")).get("points").split()
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in path)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y0 - y1 == pytest.approx(y1 - y2, abs=0.2) and y2 < y0
    heights = {element.text: float(element.get("y")) for element in svg.iter("text")}
    assert heights["one"] < heights["two"]
    samples = [line.get("stroke-dasharray") for line in svg.iter("polyline")]
    assert None in samples and len(set(samples)) > 1  # the second line and its sample are dashed


def test_grey_lines_are_named_by_hovering_only():
    plot = Plot("T", [*lines(2), Series("other", [20, 50], [0.1, 0.2], grey=True)])
    assert "other" not in texts(plot) and "model 1" in texts(plot)
    (grey,) = [group for group in drawn(plot).iter("g") if group.get("class") == "grey"]
    assert grey.find("title").text == "other"


def test_bars_lie_where_names_are_long_and_say_their_values():
    plot = Plot("T", [Series("share", ["a rather long name", "b"], [0.2, 0.4], kind="bar")], sideways=True)
    bars = [rect for rect in drawn(plot).iter("rect") if rect.find("title") is not None]
    widths = [float(rect.get("width")) for rect in bars]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert {"0.200", "0.400", "a rather long name", "b", "share"} <= set(texts(plot))


def test_every_point_is_labelled_and_has_its_intervals():
    points = [
        Series("A", [0.0], [0.3], [0.2], [0.4], [0.0], [0.0], kind="point", colour=0),
        Series("B", [0.1], [0.2], [0.15], [0.25], [0.05], [0.15], kind="point", colour=1),
    ]
    plot = Plot("T", points, Axis("unseen"), Axis("in-sample"), legend=["ID", "ours"])
    assert {"A", "B", "ID", "ours"} <= set(texts(plot))
    svg = drawn(plot)
    assert len(list(svg.iter("circle"))) == 2
    paths = {path.get("stroke"): path.get("d").count("M") for path in svg.iter("path")}
    assert sorted(paths.values()) == [1, 2]  # nothing is sure along x where nothing new is found


def test_at_most_eight_lines_are_in_colour():
    study = read_study("by_history")
    points = [
        Point(f"model {model}", {"history": age}, {"recall@50": Value(0.1 * model)})
        for model in range(12)
        for age in ("1", "2")
    ]
    (plot,) = study_plots(StudyData(study, points, []))
    assert [series.grey for series in plot.series] == [False] * 8 + [True] * 4
    (plot,) = study_plots(StudyData(study, points, [], highlighted=("model 11", "model 3")))
    assert [series.name for series in plot.series if not series.grey] == ["model 3", "model 11"]


def test_the_same_plot_gives_the_same_bytes():
    assert to_svg(Plot("T", lines(3))) == to_svg(Plot("T", lines(3)))
    assert "<b>" not in to_svg(Plot("<b>", [Series("<b>", ["<b>"], [1.0], kind="bar")]))
