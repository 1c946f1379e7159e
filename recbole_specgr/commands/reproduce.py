"""`recbole-specgr reproduce`: make rows of a leaderboard again and hold them against its scores."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.leaderboard.archive import find_runs
from recbole_specgr.leaderboard.published import read_about
from recbole_specgr.leaderboard.reproduction import compare, find_row, read_rows
from recbole_specgr.runs.launch import training_program, training_words
from recbole_specgr.runs.record import RESULT
from recbole_specgr.system.child import run_child
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
            print(f"{name:30}{row['command']}" + (f"  # older: {row['older']}" if "older" in row else ""))
        return 0
    names = [find_row(rows, name) for name in arguments.rows]
    if arguments.all:
        names = [name for name, row in rows.items() if "older" not in row]
        if skipped := len(rows) - len(names):
            print(f"Left out: {skipped} rows of rules that this version has no more (--list marks them).", flush=True)
    if not names:
        parser.error("name a row, or --all; --list shows them")
    remaking = _Remaking(rows, arguments, settings)
    outcomes = [remaking.holds(name) for name in names]
    return 0 if all(outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    more = "Any other --key=value is added to the command: --data_path, --gpu_id, ..."
    parser = new_parser("reproduce", ABOUT, EXAMPLES, more)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="as --list names it, or MODEL for its first seed")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--list", action="store_true", help="show the rows and their commands")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduced"), help="(default: %(default)s)")
    return parser


class _Remaking:
    """Makes rows again, each once, and first those that they take parameters from.

    Args:
        rows: of the matrix.
        settings: words that every command gets.
    """

    def __init__(self, rows: dict[str, dict[str, Any]], arguments: argparse.Namespace, settings: list[str]) -> None:
        self.rows, self.arguments, self.settings = rows, arguments, settings
        self._made: dict[str, Path | None] = {}

    def holds(self, name: str) -> bool:
        """Make a row again, unless it is made, and print how it compares."""
        made = self._make(name)
        if made is None:
            return False
        try:
            compared = compare(self.rows[name], made / RESULT)
        except UserError as error:
            print(f"[FAIL] {name}: {error}", flush=True)
            return False
        for comparison in compared:
            print(comparison, flush=True)
        return all(comparison.ok for comparison in compared)

    def _make(self, name: str) -> Path | None:
        """The folder of the row's run, in a folder of its own; None where a command fails, which is printed."""
        if name not in self._made:
            self._made[name] = self._run(name, self.rows[name])
        return self._made[name]

    def _run(self, name: str, row: dict[str, Any]) -> Path | None:
        words = training_words(row["command"])
        if words is None:
            raise UserError(f"{name} was not made by training a model: {row['command']}")
        if older := row.get("older"):
            raise UserError(f"{name} can't be made again by this version: {older}")
        for setting, other in row.get("uses", {}).items():
            made = self._make(other)
            if made is None:
                print(f"[FAIL] {name} takes parameters from {other}, which could not be made", flush=True)
                return None
            words.append(f"--{setting}={made}")
        self.arguments.runs.mkdir(parents=True, exist_ok=True)
        runs = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.arguments.runs))
        print(f"{name}: {row['command']}", flush=True)
        if status := run_child([*training_program(), *words, *self.settings, f"--runs_path={runs}"]):
            about = read_about(self.arguments.leaderboards, self.arguments.dataset)
            print(f"[FAIL] {name}: the command ended with status {status}", flush=True)
            if about.get_it:
                print(f"       (the data set comes with: {about.get_it})", flush=True)
            return None
        (found,) = find_runs(runs)
        return found
