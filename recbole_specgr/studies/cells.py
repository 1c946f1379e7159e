"""The files of a study on a data set: a cell for each measurement, and which runs were measured."""

from pathlib import Path
from typing import Any

from recbole_specgr.runs.comparison import alike
from recbole_specgr.runs.record import digest, read_json
from recbole_specgr.studies.spec import Setup
from recbole_specgr.system.errors import UserError

SCHEMA = 1  # of a cell
RUNS = "runs.json"  # in a study's folder, beside the cells: run_id -> the settings of the run that was measured


def read_cell(path: Path) -> dict[str, Any]:
    """One measurement. Raises UserError for a cell that is malformed or was changed."""
    cell = read_json(path)
    if not isinstance(cell, dict) or cell.get("digest") != digest(cell):
        raise UserError(f"{path} is refused: its digest is not that of its content. Delete it.")
    return cell


def cell_files(folder: Path) -> dict[str, Path]:
    """Name -> path of every cell in a study's folder, in the order of their names."""
    return {path.name: path for path in sorted(folder.glob("*.json")) if path.name != RUNS}


def read_identities(folder: Path) -> dict[str, Any]:
    """What the runs are that the cells of a study's folder were measured on: run_id -> settings, and those of the runs
    that it was made of."""
    path = folder / RUNS
    return read_json(path) if path.is_file() else {}


def same_run(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Two runs' identities differ in nothing but the seed and where they ran; so do those of the runs they use."""
    uses = one["uses"].keys() == other["uses"].keys()
    return (
        alike(one["settings"], other["settings"])
        and uses
        and all(same_run(part, other["uses"][key]) for key, part in one["uses"].items())
    )


def is_of(cell: dict[str, Any], setup: Setup) -> bool:
    """The cell was measured as the study says now: on a run of this model and these settings of its training, under
    these settings of inference, by measures with these parameters. A measure that the study got, or lost, since then
    makes no number another."""
    model = setup.wanted.model.rpartition(":")[2]  # of a user's own class `module:Class`
    measures = cell["measure"].keys() & setup.measure.keys()
    return (
        cell["model"].lower() == model.lower()
        and (cell["train"], cell["set"]) == (setup.wanted.train, setup.decode)
        and all(cell["measure"][name] == setup.measure[name] for name in measures)
    )


def seed_of(path: Path) -> int | None:
    """The seed in a cell's file name, `...-seed<seed>-<hash>.json`; None where there is none."""
    words = [word[4:] for word in path.stem.split("-") if word.startswith("seed")]
    return int(words[-1]) if words and words[-1].isdecimal() else None
