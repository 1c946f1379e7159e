"""Grid -> Markdown, LaTeX (booktabs), CSV; the terminal's format is in a file of its own."""

import csv
import io
import re
from collections.abc import Iterable

from recbole_specgr.leaderboard.grid import NOTHING, Cell, Grid
from recbole_specgr.leaderboard.terminal import to_terminal

_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}
_LATEX |= {"†": r"$^{\dagger}$", "±": r"$\pm$", "<": "$<$", ">": "$>$"}
_LATEX_NOTES = {"†": r"\dagger", "‡": r"\ddagger", "*": "*"}


def to_markdown(grid: Grid) -> str:
    """As GitHub shows it: the best in bold, the second best underlined, groups as rows of their own."""
    width = len(grid.columns)
    lines = [_line(_plain_markdown(column.full_title) for column in grid.columns)]
    lines.append(_line(":--" if column.align == "left" else "--:" for column in grid.columns))
    for number, row in enumerate(grid.rows):
        if any(grid.groups) and (number == 0 or grid.starts_group(number)):
            group = _plain_markdown(grid.group_of(number) or "other")
            lines.append(_line([f"*{group}*", *[""] * (width - 1)]))
        lines.append(_line(_markdown_cell(cell) for cell in row))
    parts = [f"**{_plain_markdown(grid.title)}**" if grid.title else "", "\n".join(lines), grid.caption]
    return "\n\n".join(part for part in parts if part)


def to_latex(grid: Grid) -> str:
    """A `table*` for \\usepackage{booktabs}: the best bold, the second best underlined."""
    spec = "".join("l" if column.align == "left" else "r" for column in grid.columns)
    lines = [r"\begin{table*}[t]", r"\centering", r"\small", rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
    if any(span for span, _ in grid.spans):
        lines += _latex_spans(grid)
    lines += [_latex_row(escape(column.title) for column in grid.columns), r"\midrule"]
    for number, row in enumerate(grid.rows):
        if any(grid.groups) and grid.starts_group(number):
            lines.append(r"\midrule")
        lines.append(_latex_row(map(_latex_cell, row)))
    lines += [r"\bottomrule", r"\end{tabular}"]
    caption = " ".join(filter(None, [f"{grid.title}." if grid.title else "", grid.caption]))
    return "\n".join([*lines, rf"\caption{{{escape(caption)}}}", r"\end{table*}"]) + "\n"


def to_csv(grid: Grid) -> str:
    """The numbers to ten digits, which every machine agrees on, without marks and deviations; of a range both ends,
    `0.1 to 0.2`; text where there is no number."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    groups = ["group"] if any(grid.groups) else []
    writer.writerow([*(column.full_title for column in grid.columns), *groups])
    for number, row in enumerate(grid.rows):
        writer.writerow([*map(_csv_cell, row), *([grid.group_of(number)] if groups else [])])
    return out.getvalue()


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: Cell) -> str:
    text = _plain_markdown(cell.text)
    form = {1: f"**{text}**", 2: f"<u>{text}</u>"}.get(cell.place or 0, text)
    return f"{form}{cell.note}"


def _plain_markdown(text: str) -> str:
    """Text that starts no cell, line or HTML of its own; `< 0.05` starts none."""
    text = re.sub(r"&(?=#?\w+;)", "&amp;", " ".join(text.split("\n")).replace("\r", " "))
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("|", "\\|")


def _csv_cell(cell: Cell) -> str:
    ends = [f"{end:.10g}" for end in (cell.value, cell.upper) if end is not None]
    return " to ".join(ends) or ("" if cell.text == NOTHING.text else cell.text)


def _latex_cell(cell: Cell) -> str:
    text = escape(cell.text)
    if text.startswith("-") and cell.value is not None:
        text = f"${text[0]}${text[1:]}"
    text = {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(cell.place or 0, text)
    note = "".join(_LATEX_NOTES.get(mark, mark) for mark in cell.note)
    return f"{text}$^{{{note}}}$" if note else text


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_spans(grid: Grid) -> list[str]:
    heads, rules, start = [], [], 1
    for span, width in grid.spans:
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(span)}}}" if span else " & ".join([""] * width))
        if span:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [_latex_row(heads), " ".join(rules)]


FORMATS = {"terminal": to_terminal, "markdown": to_markdown, "latex": to_latex, "csv": to_csv}
