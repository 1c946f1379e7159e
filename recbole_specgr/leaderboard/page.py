"""leaderboards/index.html: one file that needs no server and no network."""

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from recbole_specgr.data.times import readable_time
from recbole_specgr.leaderboard.grid import Cell, Column, Grid
from recbole_specgr.leaderboard.html import to_html
from recbole_specgr.leaderboard.published import About, published_beside
from recbole_specgr.leaderboard.reproduction import command_of
from recbole_specgr.leaderboard.study_data import StudyData
from recbole_specgr.leaderboard.study_view import study_figures, study_grids
from recbole_specgr.leaderboard.summary import Board, Row
from recbole_specgr.leaderboard.table import (
    confidence_table,
    cost_table,
    device,
    duration,
    protocol_line,
    published_table,
    remarks,
    results_table,
)

PARTS = Path(__file__).parent / "page"
NOTHING = "There are no results yet."
LONG = 12  # rows of a study's table that are shown without being asked for


@dataclass
class DatasetPage:
    """What the page shows of one data set."""

    name: str
    about: About
    boards: list[Board]
    studies: list[StudyData]


@dataclass
class _Data:
    """What the page's script draws from: figures and models, by number."""

    figures: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)


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
        plotly=_part("plotly-basic.min.js"),
        script=_part("page.js"),
    )


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8").strip()


def _section(page: DatasetPage, data: _Data) -> str:
    about = page.about
    parts = [f'<section class="dataset" id="{escape(page.name)}">', f"<h2>{escape(about.title)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in (about.description, about.source) if text]
    if about.get_it:
        parts.append(f'<pre tabindex="0">{escape(about.get_it)}</pre>')
    if about.notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in about.notes) + "</ul>")
    for number, board in enumerate(page.boards):
        parts += _board(page, board, f"{page.name}-{number}", data)
    if not page.boards:
        parts.append(f"<p>{NOTHING}</p>")
    if page.studies:
        parts.append("<h3>Studies</h3>")
        parts += [_study(study, data) for study in page.studies]
    return "\n".join([*parts, "</section>"])


def _board(page: DatasetPage, board: Board, identity: str, data: _Data) -> list[str]:
    openers = []
    for row in board.rows:
        openers.append(len(data.models))
        data.models.append(_model(row, board))
    parts = [_facts(board.record), f'<p class="note">{escape(protocol_line(board))}</p>', _controls(board, identity)]
    parts.append(to_html(_with_groups(results_table(board)), identity, openers))
    parts += [f'<p class="note">{escape(remark)}</p>' for remark in remarks(board)]
    grids = [confidence_table(board), cost_table(board)]
    grids.append(published_table(board, published_beside(board, page.about)))
    for grid in filter(None, grids):
        parts.append(f"<details><summary>{escape(grid.title)}</summary>\n{to_html(_with_groups(grid))}\n</details>")
    protocol = json.dumps(board.protocol, indent=1, ensure_ascii=False, sort_keys=True)
    parts.append(f'<details><summary>Protocol</summary>\n<pre tabindex="0">{escape(protocol)}</pre>\n</details>')
    return parts


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


def _controls(board: Board, identity: str) -> str:
    groups = dict.fromkeys(row.group for row in board.rows if row.group)
    spans = dict.fromkeys(column.span for column in results_table(board).columns if column.span)
    return f"""<div class="controls" data-table="{escape(identity)}">
<label>Find <input name="text" type="search" placeholder="model"></label>
<label>Group <select name="group">{_options(groups)}</select></label>
<label>Columns <select name="part">{_options(spans)}</select></label>
<output aria-live="polite"></output>
</div>"""


def _options(values) -> str:
    return '<option value="">all</option>' + "".join(f"<option>{escape(value)}</option>" for value in values)


def _study(study: StudyData, data: _Data) -> str:
    spec = study.study
    tag = f' <span class="tag">{escape(spec.reproduces)} of the paper</span>' if spec.reproduces else ""
    parts = [f'<details class="study" id="{escape(spec.name)}" open><summary>{escape(spec.title)}{tag}</summary>']
    for figure in study_figures(study):
        if not figure["data"]:
            continue
        label = escape(f"{figure['layout']['title']['text']}; the table has its numbers")
        parts.append(f'<div class="plot" data-figure="{len(data.figures)}" role="img" aria-label="{label}"></div>')
        data.figures.append(figure)
    for grid in study_grids(study):
        table = to_html(grid)
        long = len(grid.rows) > LONG
        parts.append(f"<details><summary>{len(grid.rows)} rows</summary>\n{table}\n</details>" if long else table)
    return "\n".join([*parts, "</details>"])


def _model(row: Row, board: Board) -> dict[str, Any]:
    """What opens below a row."""
    record = row.record
    model = {
        "settings": {key: value for key, value in record["settings"].items() if value is not None},
        "runs": [{"command": command_of(result.record), "facts": _run_facts(result.record)} for result in row.results],
        "environment": {
            **(record.get("hardware") or {}),
            "processes": record.get("processes", 1),
            **(record.get("versions") or {}),
            "commit": record.get("git_commit"),
            "peak memory, MB": record.get("peak_memory_mb"),
        },
    }
    tuning = record.get("tuning")
    if tuning:
        model["tuning"] = {"by": tuning["metric"], "tried": tuning["grid"], "chosen": tuning["choice"]}
    curves = _curves(row)
    return {**model, "curves": curves} if curves else model


def _run_facts(record: dict[str, Any]) -> dict[str, Any]:
    stages = {
        f"stage {name}": f"{stage['epochs']} epochs, best {stage['best_epoch']}, {duration(stage['seconds'])}"
        for name, stage in record["training"].items()
    }
    return {
        "seed": record["seed"],
        "finished": record["finished"],
        "device": device(record),
        **stages,
        "digest": record["digest"][:16],
    }


def _curves(row: Row) -> dict[str, Any] | None:
    """Loss and the validation metric by epoch, of all seeds; stages follow each other."""
    metric = str(row.record["settings"].get("valid_metric", "NDCG@50")).lower()
    traces = []
    for result in row.results:
        epochs: list[tuple[int, dict[str, Any]]] = []
        for stage in result.record["training"].values():
            start = len(epochs)
            epochs += [(start + number, entry) for number, entry in enumerate(stage.get("history") or [], 1)]
        seed = f"seed {result.record['seed']}"
        for key, side, name in ((metric, "y", f"valid {metric}"), ("loss", "y2", "loss")):
            points = [(epoch, entry[key]) for epoch, entry in epochs if entry.get(key) is not None]
            if points:
                trace = {"type": "scatter", "mode": "lines", "name": f"{name}, {seed}", "yaxis": side}
                dash = {"line": {"dash": "dot", "width": 1}} if side == "y2" else {}
                traces.append(trace | dash | {"x": [x for x, _ in points], "y": [float(f"{y:.5g}") for _, y in points]})
    if not traces:
        return None
    layout: dict[str, Any] = {"title": {"text": f"Training of {row.name}"}, "xaxis": {"title": {"text": "epoch"}}}
    layout["yaxis"] = {"title": {"text": f"valid {metric}"}}
    layout["yaxis2"] = {"title": {"text": "loss"}, "overlaying": "y", "side": "right"}
    return {"data": traces, "layout": layout}
