"""The records a leaderboard is drawn from: `leaderboards/<dataset>/results/<protocol>/`.

<model>-seed<seed>.json     the run's result.json as it is
<model>-seed<seed>.npz      of its ranks.npz the column `rank`; all columns where its rows are in an order of their own
rows.npz                    the other columns, which all runs under a protocol share
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.runs.checks import check_ranks, read_record
from recbole_specgr.runs.comparison import EVALUATION, differences_of_records
from recbole_specgr.runs.moments import moment
from recbole_specgr.runs.record import RANKS, RESULT, read_columns, write_columns, write_json
from recbole_specgr.settings.own_code import INNER_MODELS
from recbole_specgr.system.errors import UserError

ROWS = "rows.npz"


@dataclass(frozen=True)
class Result:
    """A checked record with its ranks.

    Attributes:
        record: as in result.json.
        ranks: columns of ranks.npz, each [N].
        source: the record's file.
    """

    record: dict[str, Any]
    ranks: dict[str, np.ndarray] = field(repr=False)
    source: Path

    @property
    def finished(self) -> datetime:
        """When the run ended."""
        return moment(self.record["finished"])

    @property
    def key(self) -> tuple[str, str, int]:
        """What there is one result of: protocol, model and seed."""
        return self.record["protocol_hash"], self.record["model"], self.record["seed"]


def read_run(run_dir: Path) -> Result:
    """The result of a run. Raises UserError, with the reason, for one that can't be trusted."""
    return _checked(run_dir / RESULT, run_dir / RANKS)


def run_folders(runs: Path, dataset: str) -> list[Path]:
    """The folders of the finished runs of a data set, wherever in `<runs>/<dataset>/` they are; `runs` itself where it
    is the folder of a finished run, which may be of another data set."""
    return [runs] if (runs / RESULT).is_file() else find_runs(runs / dataset)


def find_runs(folder: Path) -> list[Path]:
    """The finished runs in `folder`, which is one of them or any number of levels above them. A run inside another one
    is a part of that, often a copy of a finished run, and no result of its own."""
    found = {path.parent for path in Path(folder).rglob(RESULT)}
    return sorted(run for run in found if found.isdisjoint(run.parents))


def latest(results: Iterable[Result]) -> list[Result]:
    """The last finished result of each protocol, model and seed, in this order."""
    found = {}
    for result in sorted(results, key=lambda result: (result.finished, str(result.source))):
        found[result.key] = result
    return [found[key] for key in sorted(found)]


def results_folder(leaderboards: Path, dataset: str) -> Path:
    return leaderboards / dataset / "results"


def read_archive(leaderboards: Path, dataset: str) -> list[Result]:
    """All results of a leaderboard. Raises UserError for the first that can't be trusted."""
    results = []
    for folder in sorted(results_folder(leaderboards, dataset).glob("*/")):
        records = sorted(folder.glob("*.json"))
        shared = read_columns(folder / ROWS) if records else {}
        for path in records:
            result = _checked(path, path.with_suffix(".npz"), shared)
            if path != _place(leaderboards, result):
                raise UserError(f"{path} is refused: it belongs to {_place(leaderboards, result)}.")
            results.append(result)
    return results


def collect(
    results: Iterable[Result], leaderboards: Path, replaces_others: bool = False
) -> Iterator[tuple[Result, str]]:
    """Add results to their leaderboards; yields each with what became of it: "added", "replaced an older one", with the
    settings in which that one differs, "is there already" or "is older than the one there".

    Args:
        replaces_others: a result may replace one of the same name whose model or training had other settings.

    Raises:
        UserError: its rows are not those of the results that are there under the same protocol; it would replace a
            result of the same name whose parts are other models or, unless `replaces_others`, one of other settings.
    """
    for result in results:
        yield result, _add(result, leaderboards, replaces_others)


def _add(result: Result, leaderboards: Path, replaces_others: bool) -> str:
    path, outcome = _place(leaderboards, result), "added"
    if path.is_file():
        there = read_record(path)
        if there["digest"] == result.record["digest"]:
            return "is there already"
        if moment(there["finished"]) > result.finished:
            return "is older than the one there"
        for key in INNER_MODELS:
            theirs, ours = (record["settings"].get(key) for record in (there, result.record))
            if theirs != ours:
                raise UserError(
                    f"{result.source} is refused: its [{key}] is [{ours}], and {path} has one of the same model with "
                    f"[{theirs}]. Give the variant a name of its own: a file in baselines/ with `base: "
                    f"{result.record['base_model']}`, `{key}: {ours}` and a `display_name`."
                )
        found = differences_of_records(there, result.record)
        others = _listed(found)
        if any(key.partition(".")[0] not in EVALUATION for key in found) and not replaces_others:
            raise UserError(
                f"{result.source} is refused: it would replace {path}, a result of other settings: {others}. To keep "
                f"both, give this one a name of its own: a file in baselines/. To replace that one: recbole-specgr "
                f"leaderboard --collect {result.source.parent} --replace"
            )
        outcome = f"replaced an older one of other settings: {others}" if found else "replaced an older one"
    shared = {name: column for name, column in result.ranks.items() if name != "rank"}
    own = {"rank": result.ranks["rank"]}
    if not (path.parent / ROWS).is_file():
        write_columns(path.parent / ROWS, shared)
    elif not _in_one_order(shared, read_columns(path.parent / ROWS), result):
        own = result.ranks
    write_columns(path.with_suffix(".npz"), own)
    write_json(path, result.record)
    return outcome


def _listed(found: dict[str, tuple[Any, Any]]) -> str:
    return "; ".join(f"[{name}] was {before}, now it is {now}" for name, (before, now) in found.items())


def _place(leaderboards: Path, result: Result) -> Path:
    protocol, model, seed = result.key
    return results_folder(leaderboards, result.record["dataset"]) / protocol / f"{model}-seed{seed}.json"


def _checked(path: Path, ranks_file: Path, shared: dict[str, np.ndarray] | None = None) -> Result:
    record, ranks = read_record(path), {**(shared or {}), **read_columns(ranks_file)}
    check_ranks(record, ranks, path)
    return Result(record, ranks, path)


def _in_one_order(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], result: Result) -> bool:
    """Whether the rows of a result are in the order of the others under its protocol; equal data may lie in files of
    other orders. Raises UserError where they are other rows."""
    order = [_by_user_and_item(rows) for rows in (ours, theirs)]
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs or not np.array_equal(ours[name][order[0]], theirs[name][order[1]]):
            raise UserError(
                f"{result.source} is refused: the column [{name}] of its test rows is not that of the other results "
                f"under its protocol {result.key[0]}."
            )
    return all(np.array_equal(ours[name], theirs[name]) for name in ours)


def _by_user_and_item(rows: dict[str, np.ndarray]) -> np.ndarray:
    """The order int [N] of rows by user and item, of which no two are the same."""
    return np.lexsort((rows["item"], rows["user"]))
