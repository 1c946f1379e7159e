"""Tables no wider than the terminal. They hold no colour codes, so that a pipe or a file gets plain text."""

import shutil
from collections.abc import Iterator, Sequence
from textwrap import TextWrapper
from typing import Any

from tabulate import tabulate

GAP = 2  # blanks between two columns
HEADER_PADDING = 2  # tabulate keeps a column this much wider than its header
NO_TERMINAL = 120  # columns of a pipe or a file
NARROWEST = 40  # a terminal that says it is narrower is taken to be this wide


def terminal_width() -> int:
    """Columns of the terminal, or of the variable COLUMNS; NO_TERMINAL where there is neither."""
    return max(NARROWEST, shutil.get_terminal_size(fallback=(NO_TERMINAL, 24)).columns)


def plain_table(
    rows: Sequence[Sequence[Any]],
    headers: Sequence[str],
    align: Sequence[str] | None = None,
    width: int | None = None,
) -> str:
    """A table whose lines are at most `width` long.

    What is too wide is stacked: the columns that fit, then under them the others, each time behind the first column.
    A single cell that is too wide is cut and ends in an ellipsis.

    Args:
        rows: cells, shown as `str` writes them.
        headers: a line break in a header starts a new line of it.
        align: `left` or `right` for each column; None: the first left, the others right.
        width: in characters; None: the terminal's.
    """
    width = terminal_width() if width is None else width
    align = align or ["left", *["right"] * (len(headers) - 1)]
    texts = [[str(cell) for cell in row] for row in rows]
    blocks = _blocks(column_widths(texts, headers), width)
    return "\n\n".join(_block(texts, headers, align, columns, width) for columns in blocks)


def wrapped(text: str, width: int | None = None, indent: int = 0) -> str:
    """Text whose lines are broken at blanks where they are longer than `width` (None: the terminal's).

    Args:
        indent: blanks before what is broken off.
    """
    width = terminal_width() if width is None else width
    how = TextWrapper(width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    lines = [how.fill(line) if len(line) > width else line for line in text.split("\n")]
    return "\n".join(lines)


def column_widths(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> list[int]:
    """Of each column as `plain_table` writes it: its longest cell, or its header with tabulate's padding."""
    return [max([_header_width(header), *(len(row[at]) for row in rows)]) for at, header in enumerate(headers)]


def table_width(widths: Sequence[int]) -> int:
    """Of the whole table, from its columns' widths."""
    return sum(widths) + GAP * (len(widths) - 1)


def _blocks(widths: list[int], width: int) -> Iterator[list[int]]:
    """The columns of each table of the stack; the first column is in all of them."""
    columns = [0]
    for column in range(1, len(widths)):
        if len(columns) > 1 and table_width([widths[at] for at in [*columns, column]]) > width:
            yield columns
            columns = [0]
        columns.append(column)
    yield columns


def _block(rows: list[list[str]], headers: Sequence[str], align: Sequence[str], columns: list[int], width: int) -> str:
    room = width - GAP * (len(columns) - 1)
    heads = [headers[at] for at in columns]
    cells = [[row[at] for at in columns] for row in rows]
    widths = column_widths(cells, heads)
    for at in sorted(range(len(widths)), key=lambda at: -widths[at]):
        over = sum(widths) - room
        if over > 0:
            widths[at] = max(8, widths[at] - over)
    cut = [[_cut(cell, most) for cell, most in zip(row, widths)] for row in cells]
    heads = [
        "\n".join(_cut(line, most - HEADER_PADDING) for line in head.split("\n")) for head, most in zip(heads, widths)
    ]
    return tabulate(cut, heads, tablefmt="simple", disable_numparse=True, colalign=[align[at] for at in columns])


def _header_width(header: str) -> int:
    return HEADER_PADDING + max(map(len, header.split("\n")))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
