"""The files of a study on a data set: a cell for each measurement, and which runs were measured."""

from pathlib import Path
from typing import Any

from recbole_specgr.runs.record import digest, read_json
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


def seed_of(path: Path) -> int | None:
    """The seed in a cell's file name, `...-seed<seed>-<hash>.json`; None where there is none."""
    words = [word[4:] for word in path.stem.split("-") if word.startswith("seed")]
    return int(words[-1]) if words and words[-1].isdecimal() else None
