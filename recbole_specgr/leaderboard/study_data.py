"""What a study found, point by point: from its cells, or from the leaderboard's own results."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from recbole_specgr.evaluation.known_metrics import rank_metrics
from recbole_specgr.leaderboard.archive import Result, latest
from recbole_specgr.leaderboard.summary import Board, Row, Value
from recbole_specgr.runs.moments import moment
from recbole_specgr.studies.cells import cell_files, is_of, read_cell, read_identities, same_run, seed_of
from recbole_specgr.studies.spec import Setup, Study
from recbole_specgr.system.errors import UserError


@dataclass
class Point:
    """One place in a study's grid.

    Attributes:
        label: the variant.
        axes: name -> value.
        values: what was measured -> mean and deviation over seeds.
        of_seeds: seed -> what was measured of it alone.
    """

    label: str
    axes: dict[str, Any]
    values: dict[str, Value]
    of_seeds: dict[int, dict[str, Value]] = field(default_factory=dict)


@dataclass
class StudyData:
    """Points in the study's order, and where they come from.

    Attributes:
        sources: the cells or records, in the same order.
        missing: cells that the study has and that were not measured yet.
        left_out: cells under another protocol than the most.
        outdated: cells measured otherwise than the study says now, or on another run than the latest of their place.
        highlighted: labels that a plot of too many lines shows in colour; empty: the first ones.
    """

    study: Study
    points: list[Point]
    sources: list[dict[str, Any]]
    missing: int = 0
    left_out: int = 0
    outdated: int = 0
    highlighted: tuple[str, ...] = ()

    @property
    def axes(self) -> list[str]:
        """Names of all axes, in the order in which they come."""
        return list(dict.fromkeys(axis for point in self.points for axis in point.axes))

    @property
    def keys(self) -> set[str]:
        """All that was measured of any seed."""
        points = [*self.points, *(point for one in self.by_seed() for point in one.points)]
        return {key for point in points for key in point.values}

    def by_seed(self) -> list["StudyData"]:
        """The same of each seed alone, for what is no mean of points' means, such as the best of a curve."""
        seeds = sorted({seed for point in self.points for seed in point.of_seeds})
        return [
            replace(self, points=[Point(p.label, p.axes, p.of_seeds[seed]) for p in self.points if seed in p.of_seeds])
            for seed in seeds
        ]


Raw = tuple[str, dict[str, Any], int, dict[str, Any]]  # label, axes, seed, and what was measured of this seed


def read_cells(study: Study, folder: Path) -> StudyData:
    """The cells of a study that are in its folder. Raises UserError for one that is malformed or was changed."""
    files = cell_files(folder)
    seeds = sorted({seed for path in files.values() if (seed := seed_of(path)) is not None})
    identities = read_identities(folder)
    found: list[tuple[Setup, dict[str, Any]]] = []
    missing = outdated = 0
    for setup in study.setups():
        there = [read_cell(files[name]) for seed in seeds if (name := setup.file_name(seed)) in files]
        cells = _of_one_run([cell for cell in there if is_of(cell, setup)], identities)
        found += [(setup, cell) for cell in cells]
        missing += not cells
        outdated += len(there) - len(cells)
    protocols = [cell["protocol_hash"] for _, cell in found]
    protocol = max(sorted(set(protocols)), key=protocols.count, default=None)
    kept = [(setup, cell) for setup, cell in found if cell["protocol_hash"] == protocol]
    raw = [(setup.label, setup.axes, cell["seed"], cell["measured"]) for setup, cell in kept]
    points = _aggregate(_unroll(raw, study.unroll))
    return StudyData(study, points, [cell for _, cell in kept], missing, len(found) - len(kept), outdated)


def _of_one_run(cells: list[dict[str, Any]], identities: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of one place in the grid whose runs differ from the latest cell's in the seed only: means over seeds
    are of one model."""
    if len({cell["run_id"] for cell in cells}) <= 1:
        return cells
    newest = max(cells, key=lambda cell: moment(cell["finished"]))["run_id"]
    return [
        cell
        for cell in cells
        if cell["run_id"] == newest
        or (cell["run_id"] in identities and same_run(identities[cell["run_id"]], identities[newest]))
    ]


def slice_results(study: Study, board: Board) -> StudyData:
    """A board's results over slices of its test rows.

    `slices` has `column`, a column of ranks.npz, and `from`, the ascending lower ends of the slices.
    """
    raw = [raw for row in board.rows for result in row.results for raw in _slices(study.slices, row, result, board)]
    return StudyData(study, _aggregate(raw), _records(board), highlighted=board.outstanding())


def training_curves(study: Study, board: Board) -> StudyData:
    """The validations of a board's results while they were trained: by epoch, with the seconds of training so far.

    A point has the means of what every seed of its row has there. A mean over those that are still trained would be of
    other models from one epoch to the next.
    """
    points = _aggregate(raw for row in board.rows for result in row.results for raw in _validations(row, result))
    seeds: dict[str, set[int]] = {}
    for point in points:
        seeds.setdefault(point.label, set()).update(point.of_seeds)
    for point in points:
        there = [point.of_seeds.get(seed, {}) for seed in seeds[point.label]]
        point.values = {key: value for key, value in point.values.items() if all(key in values for values in there)}
    return StudyData(study, points, _records(board), highlighted=board.outstanding())


def _records(board: Board) -> list[dict[str, Any]]:
    return [result.record for result in latest(result for row in board.rows for result in row.results)]


def _validations(row: Row, result: Result) -> Iterator[Raw]:
    """Stages follow each other."""
    epochs, seconds = 0, 0.0
    for stage in result.record["training"].values():
        for entry in stage.get("history") or ():
            epochs, seconds = epochs + 1, seconds + entry["seconds"]
            measured = {f"valid_{key}": value for key, value in entry.items() if "@" in key and value is not None}
            if measured:
                measured |= {"epochs": epochs, "training_seconds": round(seconds, 3)}
                yield row.label, {"epoch": epochs}, result.record["seed"], measured


def _slices(slices: dict[str, Any], row: Row, result: Result, board: Board) -> Iterator[Raw]:
    column, ends = slices["column"], slices["from"]
    if column not in result.ranks:
        raise UserError(f"A study slices by [{column}], but ranks have {', '.join(sorted(result.ranks))}.")
    place, k = np.searchsorted(ends, result.ranks[column], side="right") - 1, board.topk[-1]
    for number, start in enumerate(ends):
        within = place == number
        if within.any():
            values: dict[str, Any] = {"rows": int(within.sum())}
            for name, metric in rank_metrics(board.metrics, result.record["settings"]).items():
                values[f"{name}@{k}"] = float(metric.of_ranks(result.ranks["rank"][within], k).mean())
            axes = {column: _between(start, ends[number + 1] if number + 1 < len(ends) else None)}
            yield row.label, axes, result.record["seed"], values


def _between(start: float, end: float | None) -> str:
    """The values from `start` to before `end`, as a label."""
    if end is None:
        return f"from {start}"
    return f"{start}" if end == start + 1 else f"{start} to {end}"


def _unroll(raw: Iterable[Raw], unroll: dict[str, Any]) -> Iterator[Raw]:
    """Lists become points along an axis of their own, numbered from 1."""
    for label, axes, seed, values in raw:
        if not unroll:
            yield label, axes, seed, values
            continue
        lists = {key: values[key] for key in unroll["keys"] if key in values}
        for number, parts in enumerate(zip(*lists.values()), 1):
            yield label, {**axes, unroll["axis"]: number}, seed, dict(zip(lists, parts))


def _aggregate(raw: Iterable[Raw]) -> list[Point]:
    points: dict[tuple, Point] = {}
    for label, axes, seed, measured in raw:
        point = points.setdefault((label, tuple(axes.items())), Point(label, axes, {}))
        point.of_seeds[seed] = {key: Value(number) for key, number in measured.items() if not isinstance(number, list)}
    for point in points.values():
        of_seeds = point.of_seeds.values()
        for key in dict.fromkeys(key for values in of_seeds for key in values):
            point.values[key] = over_seeds([values[key].mean for values in of_seeds if key in values])
    return list(points.values())


def over_seeds(numbers: Sequence[float]) -> Value:
    """Mean and deviation of one number a seed."""
    return Value(mean(numbers), stdev(numbers) if len(numbers) > 1 else None)
