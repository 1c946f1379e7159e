"""Results -> what a table says of each model: means over seeds, intervals over users, who is better than whom.

Published results and the runs of whoever looks are never mixed: a run is a row of its own beside the published ones,
and changes nothing about them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean, median, stdev
from typing import Any

import numpy as np

from recbole_specgr.evaluation.known_metrics import rank_metrics, smaller_is_better, users_own
from recbole_specgr.evaluation.significance import bootstrap_interval, by_user, holm, paired_test
from recbole_specgr.leaderboard.archive import Result, latest
from recbole_specgr.leaderboard.taken import records_used
from recbole_specgr.runs.comparison import alike_records, differences_of_records
from recbole_specgr.runs.trained_out import improving_stages
from recbole_specgr.settings.registry import GROUPS
from recbole_specgr.settings.result_keys import PARTS, split_key

OURS = GROUPS[-1]  # the group whose models are held against the best of all others
ALPHA = 0.05
PRECISION = re.compile(r"(^|[. ])(decoding_)?precision$")  # a setting's name, with its stage's or part's before it
Matrix = np.ndarray


@dataclass(frozen=True)
class Value:
    """One number of a table.

    Attributes:
        mean, deviation: over seeds; no deviation (None) for one seed.
        interval: 95 %, over users; None where it can't be had from ranks.
    """

    mean: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Comparison:
    """A model against another one.

    Attributes:
        baseline: the other model.
        change: relative, 0.1 is 10 % more; None where the other one has 0.
        p_value: of the paired randomisation test over users, after Holm's correction for the comparisons of a table.
    """

    baseline: str
    change: float | None
    p_value: float

    @property
    def significant(self) -> bool:
        return self.p_value < ALPHA


@dataclass
class Row:
    """A model under one protocol.

    Attributes:
        results: one a seed, all with the settings of the last finished one.
        left_out: results of this model that have other settings.
        values: key as in the records -> value.
        comparisons: key -> comparison with the best baseline, for models of the group `ours` only.
        mixes_precisions: the results were not all computed in the same precision.
        local: these are runs of whoever looks, and not published.
        shares_name: another model of the board has the same `display_name`.
        used: the records of the runs that its results took parameters from, as far as they are there.
    """

    model: str
    results: list[Result]
    left_out: list[Result]
    mixes_precisions: bool = False
    local: bool = False
    shares_name: bool = False
    used: list[dict[str, Any]] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        """The record of the first seed, for what all seeds have in common."""
        return self.results[0].record

    @property
    def name(self) -> str:
        """What tables call the model, which no other model of the board is called."""
        called = self.record.get("display_name") or self.model
        return f"{called} ({self.model})" if self.shares_name and called != self.model else called

    @property
    def label(self) -> str:
        """The name where no column says whether the row is a local one."""
        return f"{self.name}, {self.run}" if self.local else self.name

    @property
    def run(self) -> str:
        """Whose the row is: `published`, or when a run of whoever looks ended."""
        return f"mine, {self.finished:%Y-%m-%d %H:%M}" if self.local else "published"

    @property
    def group(self) -> str:
        return self.record.get("group") or ""

    def median_of(self, *path: str) -> float | None:
        """Median over seeds of a number in the record, None where no record has it. What something costs is told by
        the median: a seed that ran beside other work is to change nothing."""
        found = [value for result in self.results if (value := _look_up(result.record, path)) is not None]
        return median(found) if found else None

    @property
    def improving(self) -> bool:
        """More epochs might have made it better, or a model that it is made of, with one of its seeds at least."""
        return any(map(improving_stages, [*(result.record for result in self.results), *self.used]))

    @property
    def finished(self) -> datetime:
        """When the last of its runs ended."""
        return max(result.finished for result in self.results)

    @property
    def training_seconds(self) -> float:
        """Median over seeds of all stages' together."""
        return median(sum(stage["seconds"] for stage in result.record["training"].values()) for result in self.results)


@dataclass
class Board:
    """All models under one protocol, groups in the order of `registry.GROUPS`, in a group the best first.

    Attributes:
        rows: those that are shown; a local row stands below the published one of its model.
        reference: the rows that are ranked against each other and that all are compared with: the published ones, or
            the local ones where there are no others.
        metrics: names of those that are shown.
        main_metric: one of them, by which models are sorted.
        topk: ascending.
        best_baseline: key -> the model of the best that is not of the group `ours`.
    """

    rows: list[Row]
    reference: list[Row]
    metrics: list[str]
    main_metric: str
    topk: list[int]
    best_baseline: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> dict[str, Any]:
        return self.rows[0].record

    @property
    def protocol(self) -> dict[str, Any]:
        return self.record["protocol"]

    @property
    def split(self) -> str | None:
        """The setting `split`; None by time, which records do not name, for once there was no other."""
        return self.protocol.get("split")

    @property
    def main_key(self) -> str:
        """What models are sorted by: the main metric at the largest k, over all rows."""
        return f"{self.main_metric}@{self.topk[-1]}"

    def outstanding(self) -> tuple[str, ...]:
        """Labels of all rows of the group `ours` and of the best row of every other group."""
        best: dict[str, Row] = {}
        for row in self.rows:
            best.setdefault(row.model if row.group == OURS else f"group {row.group}", row)
        return tuple(row.label for row in best.values())

    def published(self, row: Row) -> Row | None:
        """The published row of a local row's model, or of the model that it is a variant of."""
        by_model = {other.model: other for other in self.reference if not other.local}
        return by_model.get(row.model) or by_model.get(row.record.get("base_model", ""))

    def best_row(self, key: str) -> Row | None:
        """The best baseline of a column."""
        found = [row for row in self.reference if row.model == self.best_baseline.get(key)]
        return max(found, key=lambda row: goodness(row, key), default=None)

    def place(self, key: str, row: Row) -> int | None:
        """1 for the best of a column, 2 for the second best; equals share a place; None below, for zeros, for local
        rows beside published ones, and where it is not known here whether smaller is better."""
        if key not in row.values or not any(row is other for other in self.reference):
            return None
        means = [other.values[key].mean for other in self.reference if key in other.values]
        return place_among(key, row.values[key].mean, means)


def place_among(key: str, value: float, values: Iterable[float]) -> int | None:
    """1 for the best of the values of a key, 2 for the second best; equals share a place; None below, for zeros, and
    where it is not known here whether smaller is better."""
    if value == 0 or smaller_is_better(split_key(key)[1]) is None:
        return None
    ordered = sorted({signed(key, other) for other in values}, reverse=True)
    place = ordered.index(signed(key, value)) + 1
    return place if place <= 2 else None


def signed(key: str, value: float) -> float:
    """A value of a key, so signed that more is better."""
    return -value if smaller_is_better(split_key(key)[1]) else value


def goodness(row: Row, key: str) -> float:
    """The row's mean in a column, so signed that more is better."""
    return signed(key, row.values[key].mean)


def summarise(published: Iterable[Result], local: Iterable[Result] = ()) -> list[Board]:
    """One board for each protocol, the one with the most models first.

    Args:
        published: results that models are compared by.
        local: runs to show beside them. What was published as it is does not come twice.
    """
    published = latest(published)
    known = {result.record["digest"] for result in published}
    by_protocol: dict[str, tuple[list[Result], list[Result]]] = defaultdict(lambda: ([], []))
    for result in published:
        by_protocol[result.record["protocol_hash"]][0].append(result)
    for result in local:
        if result.record["digest"] not in known:
            by_protocol[result.record["protocol_hash"]][1].append(result)
    boards = [_board(*group) for group in by_protocol.values()]
    return sorted(boards, key=lambda board: (-len(board.reference), board.record["protocol_hash"]))


def _board(published: list[Result], local: list[Result]) -> Board:
    by_model: dict[str, list[Result]] = defaultdict(list)
    for result in published:
        by_model[result.record["model"]].append(result)
    rows = [_row(model, found) for model, found in by_model.items()]
    mine = _local_rows(local)
    _tell_apart([*rows, *mine])
    _find_used([*rows, *mine], [result.record for result in [*published, *local]])
    record = (published or local)[0].record
    board = Board([*rows, *mine], rows or mine, *_shown_metrics(record), sorted(record["protocol"]["topk"]))
    _take_means(board)
    _compare(board, board.reference)
    if rows:
        _compare(board, mine)
    groups = [*GROUPS[:-1], "", OURS]

    def order(row: Row) -> tuple:
        beside = (board.published(row) if row.local else None) or row
        group = groups.index(beside.group) if beside.group in groups else len(groups) - 2
        return group, beside.group, -goodness(beside, board.main_key), beside.model, row.local, row.finished

    board.rows.sort(key=order)
    return board


def _shown_metrics(record: dict[str, Any]) -> tuple[list[str], str]:
    """The metrics that a board shows, and the main one of them.

    Recall and NDCG stand for all metrics of this package where the protocol has both; with one of them alone all that
    ranks give is shown, and without either all that there is. A user's own metrics are shown beside them.
    """
    names: list[str] = list(record["protocol"]["metrics"])
    usual: list[str] = [name for name in ("recall", "ndcg") if name in names]
    if len(usual) == 1:
        usual += [name for name in rank_metrics(names, record["settings"]) if name not in usual]
    metrics = usual or names
    main = "ndcg" if "ndcg" in metrics else "recall" if "recall" in metrics else metrics[-1]
    return metrics + [name for name in names if name not in metrics and users_own(name)], main


def _row(model: str, results: list[Result]) -> Row:
    """A model's results, all with the settings of the one that finished last. In what precision they were computed may
    differ: that is the machine's doing (`precision: auto`), and matters less than the seed."""
    last = max(results, key=lambda result: result.finished).record
    found = [differences_of_records(result.record, last) for result in results]
    beyond = [any(not PRECISION.search(name) for name in names) for names in found]
    return Row(
        model,
        [result for result, other in zip(results, beyond) if not other],
        [result for result, other in zip(results, beyond) if other],
        mixes_precisions=any(names and not other for names, other in zip(found, beyond)),
    )


def _local_rows(results: list[Result]) -> list[Row]:
    """One row for each setting of each model; of runs of equal settings and seed the last."""
    rows: list[Row] = []
    for result in sorted(results, key=lambda result: result.finished, reverse=True):
        record = result.record
        same = [row for row in rows if row.model == record["model"] and alike_records(row.record, record)]
        if not same:
            rows.append(Row(record["model"], [result], [], local=True))
        elif record["seed"] not in {other.record["seed"] for other in same[0].results}:
            same[0].results.append(result)
    for row in rows:
        row.results.sort(key=lambda result: result.record["seed"])
    return rows


def _tell_apart(rows: list[Row]) -> None:
    """Find the models that are called alike: variants of one composite model, baselines whose files say the same."""
    models: dict[str, set[str]] = defaultdict(set)
    names = [row.name for row in rows]
    for name, row in zip(names, rows):
        models[name].add(row.model)
    for name, row in zip(names, rows):
        row.shares_name = len(models[name]) > 1


def _find_used(rows: list[Row], records: list[dict[str, Any]]) -> None:
    """Find the records of all runs that a row's results took parameters from, directly or by way of others."""
    for row in rows:
        asked = [result.record for result in row.results]
        while asked:
            found = [used for record in asked for used in records_used(record, records).values()]
            asked = [used for used in found if used not in row.used]
            row.used += asked


def _take_means(board: Board) -> None:
    intervals = _intervals(board)
    for number, row in enumerate(board.rows):
        tests = [result.record["metrics"]["test"] for result in row.results]
        for key in sorted(set().union(*tests)):
            found = [test[key] for test in tests if key in test]
            row.values[key] = Value(mean(found), stdev(found) if len(found) > 1 else None, intervals.get((number, key)))


def rank_columns(board: Board) -> list[tuple[str, str, int]]:
    """Part, metric and k of all that ranks give."""
    metrics = rank_metrics(board.protocol["metrics"], board.record["settings"])
    return [(part, metric, k) for part in PARTS for metric in metrics for k in board.topk]


def compared_columns(board: Board) -> list[tuple[str, str, int]]:
    """Those of them that are shown and that the records have: what models are compared by."""
    columns = [column for column in rank_columns(board) if column[1] in board.metrics]
    return [column for column in columns if column_key(column) in board.rows[0].values]


def held_against(row: Row, other: Row, key: str, p_value: float) -> Comparison:
    """How a row compares with another one in a column."""
    theirs = other.values[key].mean
    return Comparison(other.model, row.values[key].mean / theirs - 1 if theirs else None, p_value)


def column_key(column: tuple[str, str, int]) -> str:
    part, metric, k = column
    return f"{part}{metric}@{k}"


def user_sums(row: Row, columns: list[tuple[str, str, int]]) -> Matrix:
    """Each user's sums of the row's values, means over seeds: [U, C], users in sorted order. The rows of two seeds need
    not be in one order: equal data may lie in files of other orders."""
    metrics = rank_metrics({metric for _, metric, _ in columns}, row.record["settings"])
    seeds = []
    for ranks in (result.ranks for result in row.results):
        values = [
            metrics[metric].of_ranks(ranks["rank"], k) * PARTS[part].has(ranks["unseen"]) for part, metric, k in columns
        ]
        seeds.append(by_user(np.stack(values, axis=1), ranks["user"]))
    mean_of_seeds: Matrix = np.mean(seeds, axis=0)
    return mean_of_seeds


def _counts(row: Row, columns: list[tuple[str, str, int]]) -> Matrix:
    """How many rows each user's sums are over: [U, C]."""
    ranks = row.results[0].ranks
    counted = np.stack([PARTS[part].has(ranks["unseen"]) for part, _, _ in columns], axis=1)
    return by_user(counted.astype(float), ranks["user"])


def _intervals(board: Board) -> dict[tuple[int, str], tuple[float, float]]:
    """(number of the row, key) -> interval; every row sees the same draws of users."""
    columns = rank_columns(board)
    if not columns:
        return {}
    sums = np.concatenate([user_sums(row, columns) for row in board.rows], axis=1)
    counts = np.tile(_counts(board.rows[0], columns), (1, len(board.rows)))
    ends = bootstrap_interval(sums, counts).T.tolist()
    names = [(number, column_key(column)) for number in range(len(board.rows)) for column in columns]
    return {name: (low, high) for name, (low, high) in zip(names, ends) if low == low}


def _compare(board: Board, rows: list[Row]) -> None:
    """Hold those of the rows that are of the group `ours` against the best baseline in every column that is shown.

    A baseline is a row of the board's reference of another group. Holm's correction is over these rows alone, so that
    a local run changes no published p value.
    """
    others = [row for row in board.reference if row.group != OURS]
    ours = [row for row in rows if row.group == OURS]
    columns = compared_columns(board)
    if not others or not columns:
        return
    best = {key: _best(others, key) for key in map(column_key, columns)}
    board.best_baseline = {key: row.model for key, row in best.items()}
    if not ours:
        return
    sums = {id(row): user_sums(row, columns) for row in [*ours, *best.values()]}
    of_best = np.stack([sums[id(best[column_key(column)])][:, place] for place, column in enumerate(columns)], axis=1)
    p_values = holm(np.concatenate([paired_test(sums[id(row)] - of_best) for row in ours]))
    for row, adjusted in zip(ours, p_values.reshape(len(ours), -1).tolist()):
        for column, p_value in zip(columns, adjusted):
            key = column_key(column)
            row.comparisons[key] = held_against(row, best[key], key, p_value)


def _best(rows: list[Row], key: str) -> Row:
    return max(rows, key=lambda row: goodness(row, key))


def _look_up(record: dict[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
