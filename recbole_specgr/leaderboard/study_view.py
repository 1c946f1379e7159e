"""A study's points -> its tables.

table:
  columns: value keys, or mappings: key; title; relative_to (a label: the ratio to its point with the same axes),
    with inverse (how many times smaller); collapse (range, min or max over a label's points, of each seed by itself)
  pivot: an axis whose values become columns
  frontier: {hold, best, of, shares}: the best of a key among the points that keep a share of another label's value
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from recbole_specgr.evaluation.known_metrics import smaller_is_better
from recbole_specgr.leaderboard.grid import NOTHING, Cell, Column, Grid, number
from recbole_specgr.leaderboard.study_data import Point, StudyData, over_seeds
from recbole_specgr.leaderboard.summary import Value, place_among, signed
from recbole_specgr.leaderboard.table import title as metric_title
from recbole_specgr.settings.result_keys import PARTS, split_key

NAMES = {
    "users_per_second": "users/s",
    "list_unseen_share": "unseen in the list",
    "list_length": "items in the list",
    "mean_cosine": "cosine in text",
    "mean_shared_prefix": "shared codes",
    "prefix_distance": "first codes, distance to data's",
    "popular_prefix_share": "under popular first codes",
    "mmr_weight": "MMR weight",
    "beam_groups": "beam groups",
    "beam_temperature": "temperature",
    "acceptance_rate": "accepted",
    "acceptance_by_round": "accepted",
    "beam_share": "filled in by beams",
    "batch_ms_p50": "ms a batch, p50",
    "batch_ms_p95": "ms a batch, p95",
    "latency_ms_a_user": "ms a user",
    "subset_ms": "ms",
    "subset_items": "items",
    "training_seconds": "training, s",
    "parameters_trainable": "trained parameters",
    "parameters_embedding": "of them embedding",
    "parameters_frozen": "frozen",
    "accept_threshold": "threshold",
    "num_beams": "beams",
    "age_days": "age, days",
    "tokenizer.levels": "codes of an item",
    "subset.size": "subset",
    "new_items.phase": "phase",
    "rows": "test rows",
}
SHARES = ("share", "rate", "by_round", "coverage")  # endings of what is shown in per cent
COLLAPSE: dict[str, Callable[[list[float]], tuple[float, ...]]] = {
    "range": lambda values: (min(values), max(values)),
    "min": lambda values: (min(values),),
    "max": lambda values: (max(values),),
}


def study_grids(data: StudyData) -> list[Grid]:
    """The tables: that of the points, and the frontier where the study has one and its reference was measured."""
    table = data.study.table
    columns = [column_spec(data, column) for column in table.get("columns", [])]
    if any("collapse" in column for column in columns):
        grids = [_collapsed(data, columns)]
    elif "pivot" in table:
        grids = [_pivoted(data, columns[0], table["pivot"], table.get("count"))]
    else:
        grids = [_plain(data, columns)]
    if "frontier" in table and (frontier := _frontier(data, **table["frontier"])):
        grids.append(frontier)
    return grids


def name_of(key: str) -> str:
    """What a value or an axis is called: `in_sample_recall@50` is in-sample Recall@50."""
    if "@" in key:
        part, metric, k = split_key(key.removeprefix("valid_"))
        valid = "valid " if key.startswith("valid_") else ""
        return f"{valid}{PARTS[part].title} {metric_title(metric, int(k))}"
    return NAMES.get(key, key.replace("_", " "))


def metric_key(key: str) -> str:
    """The key of results whose metric a study's value is of: `valid_recall@50`, on the valid phase, and
    `unseen_draft_recall@50`, of drafts, are better as recall is."""
    part, metric, k = split_key(key.removeprefix("valid_"))
    return f"{part}{metric.removeprefix('draft_')}@{k}"


def text_of(key: str, value: float) -> str:
    if "@" in key:
        return f"{value:.4f}"
    if key.endswith(SHARES):
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


# ---- tables ----------------------------------------------------------------------------------------------------------


def _plain(data: StudyData, columns: list[dict[str, Any]]) -> Grid:
    axes = data.axes
    heads = [Column("", align="left"), *(Column(name_of(axis)) for axis in axes)]
    heads += [Column(column["title"]) for column in columns]
    values = [[value_of(data, point, column) for column in columns] for point in data.points]
    rows = [
        [
            Cell(point.label),
            *(_axis(point.axes.get(axis)) for axis in axes),
            *(
                _cell(column, value, _place(column, [row[at] for row in values], value))
                for at, (column, value) in enumerate(zip(columns, found))
            ),
        ]
        for point, found in zip(data.points, values)
    ]
    return Grid(data.study.title, heads, rows, caption=_caption(data))


def _pivoted(data: StudyData, column: dict[str, Any], pivot: str, count: str | None) -> Grid:
    axes = [axis for axis in data.axes if axis != pivot]
    across = list(dict.fromkeys(point.axes[pivot] for point in data.points))
    found: dict[tuple, dict[Any, Value | None]] = {}
    counts: dict[Any, Value] = {}
    for point in data.points:
        row = (point.label, *(point.axes.get(axis) for axis in axes))
        found.setdefault(row, {})[point.axes[pivot]] = value_of(data, point, column)
        if count in point.values:
            counts.setdefault(point.axes[pivot], point.values[count])
    heads = [Column("", align="left"), *(Column(name_of(axis)) for axis in axes)]
    heads += [Column(str(value), f"{column['title']}, {name_of(pivot)}") for value in across]
    rows = [
        [
            Cell(label),
            *map(_axis, rest),
            *(
                _cell(column, values.get(at), _place(column, [row.get(at) for row in found.values()], values.get(at)))
                for at in across
            ),
        ]
        for (label, *rest), values in found.items()
    ]
    if counts:
        numbers = [number(counts[at].mean, "{:,.0f}") if at in counts else NOTHING for at in across]
        rows.insert(0, [Cell(name_of(str(count))), *[NOTHING] * len(axes), *numbers])
    return Grid(data.study.title, heads, rows, caption=_caption(data))


def _collapsed(data: StudyData, columns: list[dict[str, Any]]) -> Grid:
    alone = data.by_seed()
    rows = [
        [Cell(label), *(_range(column, _over_points(alone, label, column)) for column in columns)]
        for label in _labels(data)
    ]
    heads = [Column("", align="left"), *(Column(column["title"]) for column in columns)]
    return Grid(data.study.title, heads, rows, caption=_caption(data))


def _over_points(alone: list[StudyData], label: str, column: dict[str, Any]) -> list[Value]:
    """One end or two of a label's points: that of each seed, then the mean over seeds. The other way round, the best
    would be that of the mean curve, and the last epoch that of the seed that was trained longest."""
    ends = []
    for data in alone:
        found = [value_of(data, point, column) for point in data.points if point.label == label]
        means = [value.mean for value in found if value is not None]
        ends += [COLLAPSE[column.get("collapse", "max")](means)] if means else []
    return [over_seeds(of_seeds) for of_seeds in zip(*ends)]


def _frontier(data: StudyData, hold: str, best: str, of: str, shares: list[float]) -> Grid | None:
    """The table; None where the reference `of` was not measured."""
    hold, best = nearest_key(data, hold), nearest_key(data, best)
    reference = next(
        (point.values[hold].mean for point in data.points if point.label == of and hold in point.values), None
    )
    if reference is None:
        return None
    rows = []
    for label in _labels(data):
        points = [point for point in data.points if point.label == label and {hold, best} <= point.values.keys()]
        cells = [Cell(label)]
        for share in shares:
            able = [p.values[best].mean for p in points if _keeps(hold, p.values[hold].mean, share, reference)]
            found = max(able, key=lambda value: signed(metric_key(best), value), default=None)
            cells.append(number(found, "{:.4f}"))
        rows.append(cells)
    for at in range(1, len(shares) + 1):
        values = [value for row in rows if (value := row[at].value) is not None]
        for row in rows:
            value = row[at].value
            if value is not None and place_among(metric_key(best), value, values) == 1:
                row[at] = replace(row[at], place=1)
    heads = [Column("", align="left")]
    heads += [
        Column(f"{100 * share:.0f} %", f"{name_of(best)} while keeping of {of}'s {name_of(hold)}") for share in shares
    ]
    return Grid(f"{name_of(best)} at equal {name_of(hold)}", heads, rows)


def _keeps(key: str, value: float, share: float, reference: float) -> bool:
    """The value is at least this share as good as the reference: where smaller is better, the reference is at least
    this share of it."""
    more, less = (reference, value) if smaller_is_better(split_key(metric_key(key))[1]) else (value, reference)
    return more >= share * less - 1e-9


def _caption(data: StudyData) -> str:
    seeds = sorted({source["seed"] for source in data.sources})
    parts = [data.study.about, f"Seeds {', '.join(map(str, seeds))}." if len(seeds) > 1 else ""]
    parts += [f"{data.missing} of its cells were not measured yet." if data.missing else ""]
    parts += [f"{data.left_out} cells under another protocol are left out." if data.left_out else ""]
    parts += [
        f"{data.outdated} cells that were measured under other settings are left out: run the study again."
        if data.outdated
        else ""
    ]
    return " ".join(part for part in parts if part)


# ---- values ----------------------------------------------------------------------------------------------------------


def column_spec(data: StudyData, column: str | dict[str, Any]) -> dict[str, Any]:
    """A column of the study's file with all its keys."""
    column = {"key": column} if isinstance(column, str) else column
    key = nearest_key(data, column["key"])
    return {"title": name_of(key), **column, "key": key}


def nearest_key(data: StudyData, key: str) -> str:
    """The key, or where its list length was not measured, the same at the nearest length that was."""
    name, at, k = key.partition("@")
    keys = data.keys
    lengths = [int(other.partition("@")[2]) for other in keys if other.startswith(f"{name}@")]
    return key if key in keys or not at or not lengths else f"{name}@{min(lengths, key=lambda n: (abs(n - int(k)), n))}"


def value_of(data: StudyData, point: Point, spec: dict[str, Any]) -> Value | None:
    """What a column shows of a point; None where it was not measured."""
    value = point.values.get(spec["key"])
    if value is None or "relative_to" not in spec:
        return value
    for other in data.points:
        shared = other.axes.keys() & point.axes.keys()
        same = all(other.axes[axis] == point.axes[axis] for axis in shared)
        if other.label == spec["relative_to"] and same and (reference := other.values.get(spec["key"])):
            below, above = (value.mean, reference.mean) if spec.get("inverse") else (reference.mean, value.mean)
            return Value(above / below) if below else None
    return None


def _cell(column: dict[str, Any], value: Value | None, place: int | None = None) -> Cell:
    if value is None:
        return NOTHING
    text = _text(column, value)
    if value.deviation is not None and "@" in column["key"] and "relative_to" not in column:
        text += f" ± {value.deviation:.4f}"
    return Cell(text, place, value=value.mean)


def _range(column: dict[str, Any], ends: list[Value]) -> Cell:
    """One number, or two that are the ends of a range; ends that look alike are shown once."""
    if len(ends) < 2 or ends[0].mean == ends[1].mean:
        return _cell(column, ends[0] if ends else None)
    low, high = ends
    texts = dict.fromkeys(_text(column, end) for end in ends)
    return Cell(" to ".join(texts), value=low.mean, upper=high.mean)


def _text(column: dict[str, Any], value: Value) -> str:
    return f"{value.mean:.2f}x" if "relative_to" in column else text_of(column["key"], value.mean)


def _place(column: dict[str, Any], values: list[Value | None], value: Value | None) -> int | None:
    """The best and the second best of a metric; ratios have none."""
    if value is None or "@" not in column["key"] or "relative_to" in column or len(values) < 3:
        return None
    return place_among(metric_key(column["key"]), value.mean, [other.mean for other in values if other is not None])


def _axis(value: Any) -> Cell:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return NOTHING if value is None else Cell(str(value), value=value if is_number else None)


def _labels(data: StudyData) -> list[str]:
    return list(dict.fromkeys(point.label for point in data.points))
