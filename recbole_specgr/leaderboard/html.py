"""Grid -> an HTML table that the page's script can sort."""

from html import escape

from recbole_specgr.leaderboard.grid import Cell, Column, Grid

PLACES = {1: "best", 2: "second"}


def to_html(grid: Grid, identity: str = "", openers: list[int] | None = None) -> str:
    """The table in a box that scrolls sideways, with its caption below.

    Args:
        identity: the table's id.
        openers: of each row, the number of what opens below it.
    """
    lines = ['<div class="scroll" tabindex="0" role="region" aria-label="' + escape(grid.title or "table") + '">']
    lines.append(f'<table class="sortable"{_attribute("id", identity)}>')
    lines += ["<thead>", *_heads(grid), "</thead>", "<tbody>"]
    for number, row in enumerate(grid.rows):
        first = _first(row[0], None if openers is None else openers[number])
        cells = [_cell(cell, column) for cell, column in zip(row[1:], grid.columns[1:])]
        lines.append(f"<tr{_attribute('data-group', grid.group_of(number))}>{first}{''.join(cells)}</tr>")
    lines += ["</tbody>", "</table>", "</div>"]
    if grid.caption:
        lines.append(f'<p class="caption">{escape(grid.caption)}</p>')
    return "\n".join(lines)


def _heads(grid: Grid) -> list[str]:
    rows = []
    if any(span for span, _ in grid.spans):
        cells = [
            f'<th colspan="{width}" scope="colgroup">{escape(span)}</th>' if span else f'<td colspan="{width}"></td>'
            for span, width in grid.spans
        ]
        rows.append(f'<tr class="spans">{"".join(cells)}</tr>')
    cells = [f'<th scope="col"{_left(column)}>{escape(column.title or "variant")}</th>' for column in grid.columns]
    return [*rows, f"<tr>{''.join(cells)}</tr>"]


def _first(cell: Cell, opener: int | None) -> str:
    text = escape(cell.text)
    if opener is not None:
        text = f'<button type="button" class="open" aria-expanded="false" data-model="{opener}">{text}</button>'
    return f'<th scope="row">{text}</th>'


def _cell(cell: Cell, column: Column) -> str:
    mean, plus, deviation = cell.text.partition(" ± ")
    text = escape(mean) + (f" <small>± {escape(deviation)}</small>" if plus else "") + escape(cell.note)
    classes = " ".join(filter(None, ["left" if column.align == "left" else "", PLACES.get(cell.place or 0, "")]))
    value = "" if cell.sort_key is None or _is_number(cell.text) else f"{cell.sort_key:.6g}"
    attributes = _attribute("class", classes) + _attribute("data-value", value)
    return f"<td{attributes}>{text}</td>"


def _is_number(text: str) -> bool:
    """The page's script reads the value from such a text itself."""
    return text.replace(".", "", 1).removeprefix("-").isdecimal()


def _left(column: Column) -> str:
    return ' class="left"' if column.align == "left" else ""


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"' if value else ""
