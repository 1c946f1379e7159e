"""The table a first run ends in: what was trained, side by side, with chance and popularity for scale."""

import numpy as np

from recbole_specgr.evaluation.known_metrics import rank_metrics
from recbole_specgr.leaderboard.grid import NOTHING, Cell, Column, Grid, number
from recbole_specgr.leaderboard.local import run_cells, run_columns
from recbole_specgr.leaderboard.summary import Board, Row, goodness
from recbole_specgr.leaderboard.table import title
from recbole_specgr.settings.result_keys import PARTS

POPULARITY = "MostPop"  # the baseline that every data set is scaled by


def small_table(board: Board) -> Grid:
    """Overall, in-sample and unseen of one metric; the local rows, or all where there are none."""
    metric, k = _hits(board) or board.metrics[0], board.topk[-1]
    keys = [f"{part}{metric}@{k}" for part in PARTS]
    columns = [Column("model", align="left"), *run_columns(board), *(Column(part.title) for part in PARTS.values())]
    rows = [
        [Cell(row.name), *run_cells(board, row), *(number(_mean(row, key), "{:.4f}") for key in keys)]
        for row in _rows(board)
    ]
    chance = chance_of(board)
    if chance is not None:
        rows.append([Cell("A random list"), *[NOTHING for _ in run_columns(board)], *[number(chance, "{:.4f}")] * 3])
    return Grid(f"{title(metric, k)} on {board.record['dataset']}", columns, rows, caption=reading(board))


def reading(board: Board) -> str:
    """One sentence that says who is best overall and on new items; "" where no shown metric is of hits."""
    metric, k = _hits(board), board.topk[-1]
    if metric is None:
        return ""
    overall, unseen = f"{metric}@{k}", f"unseen_{metric}@{k}"
    rows = _rows(board)
    best = max(rows, key=lambda row: _mean(row, overall) or 0)
    says = f"{best.name} finds most of what users took next ({title(metric, k)} {_mean(best, overall) or 0:.4f})"
    newest = max(rows, key=lambda row: _mean(row, unseen) or 0)
    found = _mean(newest, unseen)
    if not found:
        return f"{says}; none finds an item that is new after training."
    if newest is best:
        return f"{says}, and most of what is new after training ({found:.4f})."
    return f"{says}; {newest.name} finds most of what is new after training ({found:.4f})."


def chance_of(board: Board) -> float | None:
    """Expected value of the metric for a list of random candidates.

    None for a metric that ranks do not give, and where no record says how many candidates there are (those of version
    0.1 do not).
    """
    metric, k = _hits(board) or board.metrics[0], board.topk[-1]
    candidates = max(row.record["data"].get("candidates", 0) for row in board.rows)
    known = rank_metrics([metric], board.record["settings"])
    if not known or not candidates:
        return None
    return float(known[metric].of_ranks(np.arange(1, k + 1), k).sum()) / candidates


def next_steps(board: Board) -> str:
    """Where to look after the table: commands that exist, of the run that ended last."""
    dataset = board.record["dataset"]
    steps = [("Every row with its interval", f"recbole-specgr leaderboard --dataset={dataset}")]
    local = [row for row in board.rows if row.local]
    if local:
        result = max(local, key=lambda row: row.finished).results[-1]
        run, user = result.source.parent, result.ranks["user"][0]
        steps.append(("What a user is recommended", f"recbole-specgr show {run} --user {user}"))
    if not any(row.model == POPULARITY for row in board.rows):
        steps.append(("Popularity, for scale", f"recbole-specgr --model={POPULARITY} --dataset={dataset}"))
    steps.append(("Your own data", "recbole-specgr import-data --help"))
    return "\n".join(f"{what}:\n  {command}" for what, command in steps)


def _rows(board: Board) -> list[Row]:
    """The last local row of each model, and popularity; all rows where nothing was run."""
    latest = {row.model: row for row in sorted(board.rows, key=lambda row: row.finished) if row.local}
    chosen = [row for row in board.rows if row is latest.get(row.model)]
    if not chosen:
        return board.rows
    scale = [row for row in board.reference if row.model == POPULARITY and POPULARITY not in latest]
    by_value = sorted(chosen, key=lambda row: -goodness(row, board.main_key))
    return [*by_value, *scale[:1]]


def _hits(board: Board) -> str | None:
    """The first shown metric that tells how much of what users took next was found: more of it is better, and the
    target's rank alone determines it. None for a board of other metrics, such as GiniIndex."""
    known = rank_metrics(board.metrics, board.record["settings"])
    return next((name for name, metric in known.items() if not metric.smaller), None)


def _mean(row: Row, key: str) -> float | None:
    return row.values[key].mean if key in row.values else None
