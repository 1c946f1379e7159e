"""What the page shows of one metric at one cut-off: a picture, in-sample against unseen, and the table below it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from recbole_specgr.leaderboard.grid import Cell, Column, Grid, number
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.leaderboard.summary import Board, Row, Value, summarise
from recbole_specgr.leaderboard.table import change, name_cell, result_cell, results_caption, title
from recbole_specgr.settings.result_keys import PARTS

MEAN = "mean"  # the choice of all seeds


@dataclass(frozen=True)
class View:
    """One choice of a reader.

    Attributes:
        board: of all seeds, or of one.
        seeds: MEAN, or the seed.
    """

    board: Board
    metric: str
    k: int
    seeds: str

    @property
    def name(self) -> str:
        """Under which the page's script finds it."""
        return f"{self.metric}@{self.k} {self.seeds}"

    @property
    def title(self) -> str:
        return title(self.metric, self.k)


def views(board: Board) -> Iterator[View]:
    """Every metric that is shown at every cut-off, of all seeds together and of each; the first is the one to open
    with: the first metric at the largest cut-off."""
    for seeds, of_seeds in chain([(MEAN, board)], _by_seed(board)):  # no seed's board is made before it is asked for
        for k in reversed(board.topk):
            for metric in board.metrics:
                yield View(of_seeds, metric, k, seeds)


def picture(view: View) -> Plot:
    """Every model as a point with its intervals, unseen along x and in-sample along y, in its group's colour."""
    groups = list(dict.fromkeys(row.group for row in view.board.rows))
    points = [_point(row, view, groups.index(row.group)) for row in view.board.rows]
    seeds = "" if view.seeds == MEAN else f", seed {view.seeds}"
    return Plot(
        f"{view.title} of items seen in training and of new ones{seeds}",
        [point for point in points if point],
        Axis(f"new items (unseen): {view.title}"),
        Axis(f"known items (in-sample): {view.title}"),
        legend=[group or "other" for group in groups],
    )


def view_table(view: View) -> Grid:
    """Overall, in-sample and unseen first, then what else one chooses a model by."""
    board = view.board
    keys = [f"{part}{view.metric}@{view.k}" for part in PARTS]
    columns = [Column("model", align="left"), *(Column(part.title) for part in PARTS.values())]
    columns += [Column("vs best baseline"), Column("group", align="left"), Column("seeds"), Column("users/s")]
    rows = [
        [
            name_cell(row),
            *(result_cell(board, row, key) for key in keys),
            change(board, row, keys[0]),
            Cell(row.group or "-"),
            Cell(str(len(row.results)), value=len(row.results)),
            number(row.median_of("test", "users_per_second"), "{:,.0f}"),
        ]
        for row in board.rows
    ]
    return Grid(view.title, columns, rows, [row.group for row in board.rows], results_caption(board))


def _by_seed(board: Board) -> Iterator[tuple[str, Board]]:
    """A board of each seed, where there are several."""
    results = [result for row in board.rows for result in row.results]
    seeds = sorted({result.record["seed"] for result in results})
    shared = {row.model: row.shares_name for row in board.rows}
    for seed in seeds if len(seeds) > 1 else ():
        (alone,) = summarise([result for result in results if result.record["seed"] == seed])
        for row in alone.rows:
            row.shares_name = shared[row.model]  # one name on the whole page, whichever models have the seed
        yield str(seed), alone


def _point(row: Row, view: View, colour: int) -> Series | None:
    unseen, known = (row.values.get(f"{part}{view.metric}@{view.k}") for part in ("unseen_", "in_sample_"))
    if unseen is None or known is None:
        return None
    (x_low, x_high), (low, high) = _ends(unseen), _ends(known)
    return Series(
        row.name,
        [unseen.mean],
        [known.mean],
        [low],
        [high],
        [x_low],
        [x_high],
        kind="point",
        colour=colour,
    )


def _ends(value: Value) -> tuple[float, float]:
    return value.interval or (value.mean, value.mean)
