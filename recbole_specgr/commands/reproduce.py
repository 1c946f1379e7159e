"""`recbole-specgr reproduce`: make rows of a leaderboard again and hold them against its scores."""

import argparse
import subprocess
import tempfile
from pathlib import Path

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.leaderboard.archive import find_runs
from recbole_specgr.leaderboard.published import read_about
from recbole_specgr.leaderboard.reproduction import compare, find_row, read_rows
from recbole_specgr.runs.launch import training_program, training_words
from recbole_specgr.runs.record import RESULT
from recbole_specgr.system.errors import UserError

ABOUT = """\
Make rows of a leaderboard again and hold them against its scores.

Prints [OK] or [FAIL] with both numbers for every score, and ends with status 1 where one fails."""
EXAMPLES = """
--dataset=ml-100k --list
SpecGRPP-seed2026 --dataset=ml-100k
"""


def run(words: list[str]) -> int:
    """0, or 1 where a score is another one."""
    parser = _parser()
    arguments, settings = parser.parse_known_args(words)
    rows = read_rows(arguments.leaderboards, arguments.dataset)
    if arguments.list:
        for name, row in rows.items():
            print(f"{name:30}{row['command']}")
        return 0
    names = list(rows) if arguments.all else [find_row(rows, name) for name in arguments.rows]
    if not names:
        parser.error("name a row, or --all; --list shows them")
    outcomes = [_reproduce(name, rows[name], arguments, settings) for name in names]
    return 0 if all(outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    more = "Any other --key=value is added to the command: --data_path, --gpu_id, ..."
    parser = new_parser("reproduce", ABOUT, EXAMPLES, more)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="MODEL-seedN, or MODEL for its first seed")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--list", action="store_true", help="show the rows and their commands")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduced"), help="(default: %(default)s)")
    return parser


def _reproduce(name: str, row: dict, arguments: argparse.Namespace, settings: list[str]) -> bool:
    """Run the row's command in a folder of its own and print how it compares."""
    words = training_words(row["command"])
    if words is None:
        raise UserError(f"{name} was not made by training a model: {row['command']}")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    runs = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=arguments.runs))
    print(f"{name}: {row['command']}", flush=True)
    done = subprocess.run([*training_program(), *words, *settings, f"--runs_path={runs}"], check=False)
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode:
        about = read_about(arguments.leaderboards, arguments.dataset)
        print(f"[FAIL] {name}: the command ended with status {done.returncode}", flush=True)
        if about.get_it:
            print(f"       (the data set comes with: {about.get_it})", flush=True)
        return False
    (made,) = find_runs(runs)
    try:
        compared = compare(row, made / RESULT)
    except UserError as error:
        print(f"[FAIL] {name}: {error}", flush=True)
        return False
    for comparison in compared:
        print(comparison, flush=True)
    return all(comparison.ok for comparison in compared)
