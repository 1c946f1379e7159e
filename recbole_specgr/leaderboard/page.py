"""leaderboards/index.html: one file that needs no server and no network."""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from recbole_specgr.data.times import readable_time
from recbole_specgr.leaderboard.grid import Cell, Column, Grid
from recbole_specgr.leaderboard.html import to_html
from recbole_specgr.leaderboard.page_details import inline_plot, model_details
from recbole_specgr.leaderboard.pairs import named_pairs, pairs_table
from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.published import About, published_beside
from recbole_specgr.leaderboard.small_table import reading
from recbole_specgr.leaderboard.study_data import StudyData
from recbole_specgr.leaderboard.study_plots import study_plots
from recbole_specgr.leaderboard.study_view import study_grids
from recbole_specgr.leaderboard.summary import Board
from recbole_specgr.leaderboard.table import (
    confidence_table,
    cost_table,
    protocol_line,
    published_table,
    remarks,
    results_table,
    title,
)
from recbole_specgr.leaderboard.views import MEAN, View, picture, view_table, views

PARTS = Path(__file__).parent / "page"
NOTHING = "There are no results yet."
FOLDED = {"Results": "All metrics in one table"}  # other names of tables where they are folded away
LONG = 12  # rows of a study's table that are shown without being asked for


@dataclass
class DatasetPage:
    """What the page shows of one data set."""

    name: str
    about: About
    boards: list[Board]
    studies: list[StudyData]

    @cached_property
    def pairs(self) -> list[Grid | None]:
        """A table for each board: the pairs of models that people want compared."""
        return [pairs_table(board, named_pairs(board, self.about.compare)) for board in self.boards]


@dataclass
class _Data:
    """What the page's script needs: models by number; of each board the views by name."""

    models: list[dict[str, Any]] = field(default_factory=list)
    boards: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)


def build_page(datasets: list[DatasetPage]) -> str:
    data = _Data()
    sections = [_section(page, data) for page in datasets]
    tabs = [f'<a href="#{escape(page.name)}">{escape(page.about.title)}</a>' for page in datasets]
    others = any(board.split for page in datasets for board in page.boards)
    plain = json.dumps(vars(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template(_part("page.html")).substitute(
        style=_part("page.css"),
        but=" (but where a table says so)" if others else "",
        tabs="\n".join(tabs),
        sections="\n".join(sections) or f"<p>{NOTHING}</p>",
        data=plain.replace("<", "\\u003c"),
        script=_part("page.js"),
    )


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8").strip()


def _section(page: DatasetPage, data: _Data) -> str:
    parts = [f'<section class="dataset" id="{escape(page.name)}">', f"<h2>{escape(page.about.title)}</h2>"]
    for place in range(len(page.boards)):
        parts += _board(page, place, data)
    about = "\n".join(_about(page.about))
    if not page.boards:
        parts += [about, f"<p>{NOTHING}</p>"]
    elif about:
        parts.append(folded("The data set, and what to mind", about))
    if page.studies:
        parts.append("<h3>Studies</h3>")
        parts += [_study(study) for study in page.studies]
    return "\n".join([*parts, "</section>"])


def _about(about: About) -> list[str]:
    """Description, source, how to get it, notes."""
    parts = [f"<p>{linked(text)}</p>" for text in (about.description, about.source) if text]
    if about.get_it:
        parts.append(f'<pre tabindex="0">{escape(about.get_it)}</pre>')
    if about.notes:
        parts.append("<ul>" + "".join(f"<li>{linked(note)}</li>" for note in about.notes) + "</ul>")
    return parts


def _board(page: DatasetPage, place: int, data: _Data) -> list[str]:
    """The answer in a sentence, a picture and a table; below them, folded away, how sure it is and what it cost."""
    board, identity = page.boards[place], f"{page.name}-{place}"
    openers = []
    for row in board.rows:
        openers.append(len(data.models))
        data.models.append(model_details(row))
    shown = list(views(board))
    data.boards[identity] = {view.name: _view(view, board) for view in shown}
    says = reading(board)
    parts = [f'<p class="answer">{escape(says)}</p>'] if says else []
    parts.append(_controls(board, identity, shown))
    parts.append(f'<div class="picture" id="{escape(identity)}-picture">{to_svg(picture(shown[0]))}</div>')
    parts.append(to_html(view_table(shown[0]), identity, openers))
    parts += [f'<p class="note">{escape(remark)}</p>' for remark in remarks(board)]
    beside = published_table(board, published_beside(board, page.about))
    grids = [results_table(board), confidence_table(board), page.pairs[place], cost_table(board), beside]
    for grid in (grid for grid in grids if grid):
        parts.append(folded(FOLDED.get(grid.title, grid.title), to_html(_with_groups(grid))))
    protocol = json.dumps(board.protocol, indent=1, ensure_ascii=False, sort_keys=True)
    numbers = f'<p class="note">{escape(protocol_line(board))}</p>\n{_facts(board.record)}'
    parts.append(folded("Protocol and numbers of the data", f'{numbers}\n<pre tabindex="0">{escape(protocol)}</pre>'))
    return parts


def _view(view: View, board: Board) -> dict[str, Any]:
    """What the script puts into the table and above it. Cells: [text, sort key, place] of the columns after the model,
    by the board's row; None where the view has no such model."""
    grid = view_table(view)
    cells = {row.model: cells[1:5] for row, cells in zip(view.board.rows, grid.rows)}
    changed = [[_plain(cell) for cell in cells[row.model]] if row.model in cells else None for row in board.rows]
    return {"picture": inline_plot(picture(view)), "cells": changed}


def _plain(cell: Cell) -> list[Any]:
    sort_key = None if cell.sort_key is None else float(f"{cell.sort_key:.6g}")
    return [f"{cell.text}{cell.note}", sort_key, cell.place]


def folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>\n{content}\n</details>"


def linked(text: str) -> str:
    """Plain text as HTML, with its addresses as links."""
    return re.sub(
        r"https?://[^\s,;()<>]*[^\s,;()<>.]", lambda found: f'<a href="{found[0]}">{found[0]}</a>', escape(text)
    )


def _with_groups(grid: Grid) -> Grid:
    """The groups as a column, for rows that can be sorted."""
    columns = [grid.columns[0], Column("group", align="left"), *grid.columns[1:]]
    rows = [[row[0], Cell(grid.group_of(at) or "-"), *row[1:]] for at, row in enumerate(grid.rows)]
    return Grid(grid.title, columns, rows, grid.groups, grid.caption)


def _facts(record: dict[str, Any]) -> str:
    """The data set's statistics."""
    found = record.get("data") or {}
    facts = [(name, f"{found[key]:,}") for key, name in _COUNTS.items() if isinstance(found.get(key), int)]
    shares = {"valid_unseen_share": "unseen valid targets", "test_unseen_share": "unseen test targets"}
    facts += [(name, f"{100 * found[key]:.1f} %") for key, name in shares.items() if isinstance(found.get(key), float)]
    if "split_times" in found:
        for name, time in zip(("valid from", "test from"), found["split_times"]):
            facts.append(
                (name, readable_time(time, found.get("time_unit")).partition("(")[2].rstrip(")")[:10] or str(time))
            )
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{cells}</dl>' if cells else ""


_COUNTS = {
    "users": "users",
    "items": "items",
    "seen_items": "items seen in training",
    "interactions": "interactions",
    "train_targets": "training rows",
    "test_targets": "test rows",
}


def _controls(board: Board, identity: str, shown: list[View]) -> str:
    """Choosers of the view and filters of the table."""
    first = shown[0]
    metrics = {metric: title(metric, 1).partition("@")[0] for metric in board.metrics}
    cuts = {str(k): f"top {k}" for k in board.topk}
    seeds = {view.seeds: "mean of all" if view.seeds == MEAN else view.seeds for view in shown}
    groups = {"": "all"} | {row.group: row.group for row in board.rows if row.group}
    return f"""<div class="controls" data-table="{escape(identity)}">
{_chooser("Metric", "metric", metrics, first.metric)}
{_chooser("Cut-off", "cutoff", cuts, str(first.k))}
{_chooser("Seeds", "seeds", seeds, first.seeds)}
{_chooser("Group", "group", groups, "")}
<label>Find <input name="text" type="search" placeholder="model"></label>
<output aria-live="polite"></output>
</div>"""


def _chooser(label: str, name: str, choices: dict[str, str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(shown)}</option>'
        for value, shown in choices.items()
    )
    return f'<label>{label} <select name="{name}">{options}</select></label>'


def _study(study: StudyData) -> str:
    spec = study.study
    tag = f' <span class="tag">{escape(spec.reproduces)} of the paper</span>' if spec.reproduces else ""
    parts = [f'<details class="study" id="{escape(spec.name)}" open><summary>{escape(spec.title)}{tag}</summary>']
    plots = [f'<div class="plot">{to_svg(plot)}</div>' for plot in study_plots(study) if plot.series]
    parts.append(f'<div class="plots">{"".join(plots)}</div>')
    for grid in study_grids(study):
        table = to_html(grid)
        parts.append(folded(f"{len(grid.rows)} rows", table) if len(grid.rows) > LONG else table)
    return "\n".join([*parts, "</details>"])
