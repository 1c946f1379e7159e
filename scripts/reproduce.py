"""Make rows of a leaderboard again and hold them against its scores.

    python scripts/reproduce.py --dataset=ml-100k --list
    python scripts/reproduce.py SpecGRPP-seed2026 --dataset=ml-100k

Prints [OK] or [FAIL] with both numbers for every score, and ends with status 1 where one fails.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout that is not installed

from recbole_specgr.leaderboard.archive import find_runs
from recbole_specgr.leaderboard.published import read_about
from recbole_specgr.leaderboard.reproduction import SCRIPT, compare, find_row, read_rows
from recbole_specgr.runs.record import RESULT
from recbole_specgr.system.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Any other --key=value is added to the command: --data_path, --gpu_id, ...",
        allow_abbrev=False,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="MODEL-seedN, or MODEL for its first seed")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--list", action="store_true", help="show the rows and their commands")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduced"), help="(default: %(default)s)")
    arguments, more = parser.parse_known_args()
    try:
        rows = read_rows(arguments.leaderboards, arguments.dataset)
        if arguments.list:
            for name, row in rows.items():
                print(f"{name:30}{row['command']}")
            return 0
        names = list(rows) if arguments.all else [find_row(rows, name) for name in arguments.rows]
        if not names:
            parser.error("name a row, or --all; --list shows them")
        outcomes = [_reproduce(name, rows[name], arguments, more) for name in names]
        return 0 if all(outcomes) else 1
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _reproduce(name: str, row: dict, arguments: argparse.Namespace, more: list[str]) -> bool:
    """Run the row's command in a folder of its own and print how it compares."""
    arguments.runs.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=arguments.runs))
    _, script, *words = shlex.split(row["command"])
    if script != SCRIPT:
        raise UserError(f"{name} was not made by {SCRIPT}: {row['command']}")
    print(f"{name}: {row['command']}", flush=True)
    done = subprocess.run([sys.executable, str(ROOT / SCRIPT), *words, *more, f"--runs_path={runs}"], check=False)
    if done.returncode:
        about = read_about(arguments.leaderboards, arguments.dataset)
        print(f"[FAIL] {name}: the command ended with status {done.returncode}", flush=True)
        if about.get_it:
            print(f"       (the data set comes with: {about.get_it})", flush=True)
        return False
    (run,) = find_runs(runs)
    try:
        compared = compare(row, run / RESULT)
    except UserError as error:
        print(f"[FAIL] {name}: {error}", flush=True)
        return False
    for comparison in compared:
        print(comparison, flush=True)
    return all(comparison.ok for comparison in compared)


if __name__ == "__main__":
    sys.exit(main())
