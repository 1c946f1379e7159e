"""Train every row of the leaderboard and collect its results as they come; run it again to go on where it stopped.

    python scripts/run_table.py --dataset=ml-100k --seeds=3
    python scripts/run_table.py --dataset=ml-100k --rows TIGER SpecGRPP --epochs=5

What exists already is not trained again, and what a row takes from another (properties/table.yaml) is trained once.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from recbole_specgr.leaderboard.archive import collect, read_run
from recbole_specgr.leaderboard.render import render_all
from recbole_specgr.settings.arguments import parse
from recbole_specgr.studies.table_rows import table_rows
from recbole_specgr.studies.trained import RunFailed, TrainedRuns
from recbole_specgr.system.errors import UserError

FIRST_SEED = 2026


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any other --key=value is a setting of every run.",
        allow_abbrev=False,
    )
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seeds", type=int, default=1, help=f"how many, from {FIRST_SEED} on (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", help="some rows only")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    arguments, words = parser.parse_known_args()
    try:
        runs = TrainedRuns(arguments.dataset, parse(words).settings)
        jobs = [
            (row, wanted, FIRST_SEED + number)
            for number in range(arguments.seeds)
            for row, wanted in table_rows(arguments.rows).items()
        ]
        failed = [
            fault for number, job in enumerate(jobs, 1) if (fault := _run(number, len(jobs), *job, runs, arguments))
        ]
        render_all(arguments.leaderboards)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    for fault in failed:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if failed else 0


def _run(number: int, total: int, row: str, wanted, seed: int, runs: TrainedRuns, arguments) -> str | None:
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


if __name__ == "__main__":
    sys.exit(main())
