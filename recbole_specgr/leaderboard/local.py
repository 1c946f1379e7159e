"""Runs of whoever looks, beside the published rows: how they are marked, and what they did differently."""

from dataclasses import replace
from typing import Any

from recbole_specgr.leaderboard.grid import Cell, Column
from recbole_specgr.leaderboard.summary import Board, Row
from recbole_specgr.runs.comparison import differences

MOST = 6  # differing settings that a remark names


def mine(boards: list[Board]) -> list[Board]:
    """The boards that have local rows, with these and the published rows that they are compared with: those of the
    same models, and the best baseline."""
    found = []
    for board in boards:
        local = [row for row in board.rows if row.local]
        beside = [*map(board.published, local), board.best_row(board.main_key)]
        rows = [row for row in board.rows if row.local or any(row is other for other in beside)]
        if local:
            found.append(replace(board, rows=rows))
    return found


def run_columns(board: Board) -> list[Column]:
    """The column that marks local rows, where there are any."""
    return [Column("run", align="left")] if _has_local(board) else []


def run_cells(board: Board, row: Row) -> list[Cell]:
    """What stands in `run_columns`: whose the row is; in a narrow table without the year."""
    if not _has_local(board):
        return []
    return [Cell(row.run, short=row.run.replace(f"{row.finished:%Y-}", ""))]


def local_remarks(board: Board) -> list[str]:
    """A sentence for each local row: how its settings differ from those of the published row of its model. None where
    nothing is published."""
    remarks: list[str] = []
    if all(row.local for row in board.reference):
        return remarks
    for row in (row for row in board.rows if row.local):
        published = board.published(row)
        if published is None:
            says = "there is no published row of this model under this protocol"
        else:
            found = differences(row.record["settings"], published.record["settings"])
            says = _named(found) or "settings as published"
        seeds = ", ".join(str(result.record["seed"]) for result in row.results)
        remarks.append(f"{row.label} (seed {seeds}): {says}.")
    return remarks


def _has_local(board: Board) -> bool:
    return any(row.local for row in board.rows)


def _named(found: dict[str, tuple[Any, Any]]) -> str:
    parts = [f"{name} {_short(ours)} (published {_short(theirs)})" for name, (ours, theirs) in found.items()]
    more = [f"and {len(parts) - MOST} more"] if len(parts) > MOST else []
    return ", ".join(parts[:MOST] + more)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
