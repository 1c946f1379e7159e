"""`recbole-specgr leaderboard`: print it, add runs to it, and draw everything that is rendered anew."""

import argparse
import sys
from functools import partial
from pathlib import Path

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.leaderboard.archive import Result, collect, find_runs, read_archive, read_run, run_folders
from recbole_specgr.leaderboard.formats import FORMATS
from recbole_specgr.leaderboard.local import mine
from recbole_specgr.leaderboard.pairs import pairs_against
from recbole_specgr.leaderboard.published import published_beside, read_about
from recbole_specgr.leaderboard.render import render_all
from recbole_specgr.leaderboard.small_table import next_steps, small_table
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.leaderboard.table import leaderboard, protocol_line, remarks, results_table
from recbole_specgr.leaderboard.terminal import WIDE, to_terminal
from recbole_specgr.runs.record import RUNS
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.terminal import wrapped

EXAMPLES = """
--dataset=ml-100k                     what is published, and beside it what is in ./runs
--dataset=ml-100k --mine              the runs in ./runs and what they are compared with
--dataset=ml-100k --against=SASRec    every row against SASRec's, with tests over users
--dataset=ml-100k --small             one small table of the runs in ./runs
--collect runs/ml-100k/SASRec/...     add runs to leaderboards/
--all                                 tables, plots and page from the records
"""


def run(words: list[str]) -> int:
    """0, or 1 where a run was refused."""
    parser = _parser()
    arguments = parser.parse_args(words)
    if not (arguments.dataset or arguments.collect or arguments.all):
        parser.error("say what to do: --dataset=NAME, --collect RUN ... or --all")
    refused = _collect(arguments.collect or [], arguments.leaderboards, arguments.replace)
    if arguments.all:
        for path in render_all(arguments.leaderboards):
            print(path)
    if arguments.dataset:
        _print(arguments)
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "leaderboard",
        "The leaderboard: print it, add runs to it, and draw everything that is rendered anew.",
        EXAMPLES,
    )
    parser.add_argument("--dataset", help="print this data set's leaderboard")
    parser.add_argument("--format", choices=FORMATS, default="terminal", help="of what is printed")
    parser.add_argument("--mine", action="store_true", help="only your runs and the published rows they compare with")
    parser.add_argument("--against", metavar="MODEL", help="hold every row against this model's, with tests over users")
    parser.add_argument("--small", action="store_true", help="your runs in one small table, and where to look next")
    parser.add_argument("--wide", action="store_true", help="all columns, wider than the terminal")
    parser.add_argument("--collect", type=Path, nargs="+", metavar="RUN", help="runs, or folders with runs in them")
    parser.add_argument("--replace", action="store_true", help="let --collect replace results of other settings")
    parser.add_argument("--all", action="store_true", help="render everything in the folder of leaderboards")
    parser.add_argument(
        "--runs", type=Path, default=RUNS, help="the folder of runs, or of a single one (default: %(default)s)"
    )
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    return parser


def _collect(paths: list[Path], leaderboards: Path, replace: bool) -> bool:
    """Add the runs, saying what became of each; True when one was refused."""
    refused = False
    for path in paths:
        runs = find_runs(path)
        if not runs:
            raise UserError(f"there is no finished run in {path}.")
        for found in runs:
            try:
                for _, outcome in collect([read_run(found)], leaderboards, replace):
                    print(f"{found}: {outcome}")
            except UserError as error:
                refused = True
                print(f"error: {error}", file=sys.stderr)
    return refused


def _read_runs(runs: Path, dataset: str) -> list[Result]:
    """The results of a data set's runs but for those that are refused, such as one that was deleted in part, which are
    named: one's own runs are not published, and one of them must not hide the others.

    Raises:
        UserError: `runs` is a single run, and of another data set.
    """
    results, folders = [], run_folders(runs, dataset)
    for folder in folders:
        try:
            results.append(read_run(folder))
        except UserError as error:
            print(f"warning: {error} It is left out.", file=sys.stderr)
    others = sorted({result.record["dataset"] for result in results} - {dataset})
    if folders == [runs] and others:
        raise UserError(f"[--runs={runs}] is a run on {others[0]}, not on {dataset}. Give --dataset={others[0]}")
    return [result for result in results if result.record["dataset"] == dataset]


def _print(arguments: argparse.Namespace) -> None:
    dataset = arguments.dataset
    boards = summarise(read_archive(arguments.leaderboards, dataset), _read_runs(arguments.runs, dataset))
    if not boards:
        published = {path.parent.name for path in arguments.leaderboards.glob("*/results/")}
        known = sorted(published | {path.name for path in arguments.runs.glob("*/")})
        raise UserError(
            f"There is no result of [{dataset}] in {arguments.leaderboards} or {arguments.runs}."
            f"{did_you_mean(dataset, known)}"
        )
    if arguments.mine:
        boards = mine(boards)
        if not boards:
            raise UserError(f"there is no run of {dataset} in {arguments.runs} that is not published.")
    terminal = arguments.format == "terminal"
    write = partial(to_terminal, width=WIDE) if terminal and arguments.wide else FORMATS[arguments.format]
    if arguments.small:
        text = "\n\n".join(f"{write(small_table(board))}\n\n{next_steps(board)}" for board in boards)
    elif arguments.against:
        tables = pairs_against(boards, arguments.against)
        text = "\n\n".join(f"{protocol_line(board)}\n\n{write(table)}" for board, table in tables)
    elif arguments.format == "csv":
        for board in boards:
            print("\n".join([protocol_line(board), *remarks(board)]), file=sys.stderr)
        text = "\n".join(write(results_table(board)) for board in boards).rstrip("\n")
    else:
        about = read_about(arguments.leaderboards, dataset)
        text = leaderboard(boards, write, lambda board: published_beside(board, about))
    print(wrapped(text) if terminal and not arguments.wide else text)
