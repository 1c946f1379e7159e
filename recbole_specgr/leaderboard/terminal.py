"""Grid -> text for a terminal: what does not fit is shortened, then left out, then stacked, and never wider."""

import math
from collections.abc import Iterator

from recbole_specgr.leaderboard.grid import Cell, Column, Grid
from recbole_specgr.system.terminal import column_widths, plain_table, table_width, terminal_width, wrapped

WIDE = math.inf  # the width that leaves out nothing


def to_terminal(grid: Grid, width: float | None = None) -> str:
    """The table in the room that there is.

    The first of these that fits is taken: everything; without the columns that may be left out (`Column.leave_out`),
    as few as possible; the same with short cells; short cells, stacked (`plain_table`).

    Args:
        width: in characters; None: the terminal's; WIDE: no limit.
    """
    width = terminal_width() if width is None else width
    columns, rows = list(grid.columns), grid.rows
    if any(grid.groups):
        columns = [*columns, Column("group", align="left", leave_out=1)]
        rows = [[*row, Cell(grid.group_of(number))] for number, row in enumerate(rows)]
    for kept, short in _attempts(columns):
        headers = [f"{columns[at].span}\n{columns[at].title}".strip() for at in kept]
        texts = [[_text(row[at], short) for at in kept] for row in rows]
        if table_width(column_widths(texts, headers)) <= width:
            break
    most = 10**6 if width == WIDE else int(width)
    table = plain_table(texts, headers, [columns[at].align for at in kept], most)
    best = "*: the best of a column." if any(row[at].place == 1 for row in rows for at in kept) else ""
    notes = "\n".join(note for note in (grid.caption, best, _left_out(columns, kept, short, rows)) if note)
    return "\n\n".join(part for part in (wrapped(grid.title, most), table, wrapped(notes, most)) if part)


def _attempts(columns: list[Column]) -> Iterator[tuple[list[int], bool]]:
    """Places of the columns that are kept, and whether cells are short."""
    steps = sorted({column.leave_out for column in columns} | {0})
    for short in (False, True):
        for step in steps:
            kept = [at for at, column in enumerate(columns) if not 0 < column.leave_out <= step]
            yield kept, short


def _left_out(columns: list[Column], kept: list[int], short: bool, rows: list[list[Cell]]) -> str:
    gone = [column.full_title for at, column in enumerate(columns) if at not in kept]
    if short and any(cell.short for row in rows for cell in row):
        gone.insert(0, "deviations")
    return f"Left out, for they do not fit: {', '.join(gone)}. --wide shows them." if gone else ""


def _text(cell: Cell, short: bool) -> str:
    """Nothing is bold in a terminal: the best has a star."""
    text = (cell.short if short else "") or cell.text
    return f"{text} *{cell.note}" if cell.place == 1 else f"{text}{cell.note}"
