"""Rows of a board held against each other, two at a time: how much better the first is, and how sure that is."""

from collections.abc import Mapping, Sequence

import numpy as np

from recbole_specgr.evaluation.significance import holm, paired_test
from recbole_specgr.leaderboard.grid import Cell, Column, Grid, number
from recbole_specgr.leaderboard.summary import (
    Board,
    Comparison,
    Row,
    column_key,
    compared_columns,
    held_against,
    user_sums,
)
from recbole_specgr.leaderboard.table import p_value_cell, title
from recbole_specgr.settings.result_keys import PARTS
from recbole_specgr.system.errors import UserError, did_you_mean

Pair = tuple[Row, Row]
MOST = 999.0  # per cent that are shown; next to nothing times much is no number to remember


def named_pairs(board: Board, compare: Mapping[str, Sequence[str]]) -> list[Pair]:
    """The pairs of models that about.yaml names under `compare`, as far as the board has both."""
    rows = {row.model: row for row in board.reference}
    return [
        (rows[model], rows[other])
        for model, others in compare.items()
        for other in others
        if model in rows and other in rows
    ]


def pairs_against(boards: Sequence[Board], model: str) -> list[tuple[Board, Grid]]:
    """Each board that has a row of `model`, with every row that it shows held against that one.

    Args:
        model: its name, or what tables call it.

    Raises:
        UserError: there is nothing to hold against each other.
    """
    found = []
    for board in boards:
        others = [row for row in board.reference if model in (row.model, row.name)]
        table = pairs_table(board, [(row, other) for other in others[:1] for row in board.rows if row is not other])
        found += [(board, table)] if table else []
    if not found:
        known = sorted({name for board in boards for row in board.reference for name in (row.model, row.name)})
        raise UserError(f"[--against={model}]: no row can be held against it.{did_you_mean(model, known)}")
    return found


def pairs_table(board: Board, pairs: Sequence[Pair]) -> Grid | None:
    """A line for each pair and shown metric at the largest k, overall and by part; None without pairs, or where no
    shown metric is one of ranks."""
    columns = [column for column in compared_columns(board) if column[2] == board.topk[-1]]
    if not pairs or not columns:
        return None
    found = _compare(pairs, columns)
    heads = [Column("model", align="left"), Column("against", align="left"), Column("metric", align="left")]
    heads += [Column(side, part.title) for part in PARTS.values() for side in ("%", "p")]
    metrics = list(dict.fromkeys(metric for _, metric, _ in columns))
    rows = []
    for (row, other), comparisons in zip(pairs, found):
        for metric in metrics:
            keys = [column_key((part, metric, board.topk[-1])) for part in PARTS]
            cells = [cell for key in keys for cell in _cells(comparisons[key])]
            rows.append([Cell(row.label), Cell(other.label), Cell(title(metric, board.topk[-1])), *cells])
    groups = [row.group for row, _ in pairs for _ in metrics]
    apart = "; pairs with a run of yours have a correction of their own" if any(map(_local, pairs)) else ""
    caption = (
        "%: how much more or less the first has. p: paired randomisation test over users, of means over seeds, with "
        f"Holm's correction for all comparisons of this table{apart}."
    )
    return Grid("Pairs", heads, rows, groups, caption)


def _compare(pairs: Sequence[Pair], columns: list[tuple[str, str, int]]) -> list[dict[str, Comparison]]:
    """For each pair: key -> how the first row compares with the second.

    Holm's correction is over the pairs of published rows, and apart from them over all others, so that a local run
    changes no published p value.
    """
    sums = {id(row): user_sums(row, columns) for pair in pairs for row in pair}
    p_values = np.array([paired_test(sums[id(row)] - sums[id(other)]) for row, other in pairs])
    local = np.array([_local(pair) for pair in pairs])
    for family in (local, ~local):
        if family.any():
            p_values[family] = holm(p_values[family].ravel()).reshape(-1, len(columns))
    found = []
    for (row, other), adjusted in zip(pairs, p_values.tolist()):
        keys = map(column_key, columns)
        found.append({key: held_against(row, other, key, p_value) for key, p_value in zip(keys, adjusted)})
    return found


def _local(pair: Pair) -> bool:
    return any(row.local for row in pair)


def _cells(comparison: Comparison) -> list[Cell]:
    change = None if comparison.change is None else 100 * comparison.change
    shown = "{:+.1f}" if change is None or change < MOST else f"> +{MOST:.0f}"
    return [number(change, shown), p_value_cell(comparison)]
