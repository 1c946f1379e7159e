"""`recbole-specgr table`: train every row of the leaderboard and collect the results as they come."""

import argparse
import sys
from pathlib import Path

from recbole_specgr.commands.run_settings import settings_of_runs
from recbole_specgr.commands.seeds import add_seeds, seeds
from recbole_specgr.commands.usage import new_parser
from recbole_specgr.leaderboard.archive import collect, read_run
from recbole_specgr.leaderboard.render import render_all
from recbole_specgr.studies.table_rows import table_rows
from recbole_specgr.studies.trained import RunFailed, TrainedRuns
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import Terminated

ABOUT = """\
Train every row of the leaderboard and collect its results as they come; run it again to go on where it stopped.

What exists already is not trained again, and what a row takes from another (properties/table.yaml) is trained once."""
EXAMPLES = """
--dataset=ml-100k --seeds=3
--dataset=ml-100k --rows TIGER SpecGRPP --epochs=5
"""


def run(words: list[str]) -> int:
    """0, or 1 where a run failed."""
    arguments, settings = _parser().parse_known_args(words)
    runs = TrainedRuns(arguments.dataset, settings_of_runs(settings, "table", "--rows and properties/table.yaml"))
    jobs = [(row, wanted, seed) for seed in seeds(arguments) for row, wanted in table_rows(arguments.rows).items()]
    try:
        failed = [
            fault for number, job in enumerate(jobs, 1) if (fault := _make(number, len(jobs), *job, runs, arguments))
        ]
    except (KeyboardInterrupt, Terminated):
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        raise
    render_all(arguments.leaderboards)
    for fault in failed:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("table", ABOUT, EXAMPLES, "Any other --key=value is a setting of every run.")
    parser.add_argument("--dataset", required=True)
    add_seeds(parser)
    parser.add_argument("--rows", nargs="+", help="some rows only")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    return parser


def _make(
    number: int, total: int, row: str, wanted: Wanted, seed: int, runs: TrainedRuns, arguments: argparse.Namespace
) -> str | None:
    """Make one run and collect it; what went wrong, so that the others still get their turn."""
    print(f"[{number}/{total}] {row}, seed {seed}", flush=True)
    try:
        folder = runs.ensure(wanted, seed)
        for _, outcome in collect([read_run(folder)], arguments.leaderboards):
            print(f"[{number}/{total}] {row}, seed {seed}: {folder} {outcome}", flush=True)
    except (RunFailed, UserError) as error:
        print(f"[{number}/{total}] {row}, seed {seed}: failed", flush=True)
        return f"{row}, seed {seed}: {error}"
    return None
