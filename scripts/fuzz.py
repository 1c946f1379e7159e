"""Try inputs that are wrong in random ways: python scripts/fuzz.py [KIND ...] [--seconds N] [--seed N]

Every input must be handled, or refused with a sentence (a UserError) and nothing left behind. What else happens is a
fault: it is printed with the number of the trial, by which `--seed` and `--only` repeat it. The exit status is 1 then.
A new kind of input is a function in `fuzzing/` (see `fuzzing/trials.py`) and a line in KINDS.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzzing.importer_files import import_mutated_files
from fuzzing.run_folders import damage_run_folders
from fuzzing.settings import draw_settings
from fuzzing.trials import Tally, run_trials

KINDS = {"importer_files": import_mutated_files, "settings": draw_settings, "run_folders": damage_run_folders}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"{', '.join(KINDS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="for each kind (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other inputs (default: 0)")
    parser.add_argument("--only", type=int, metavar="TRIAL", help="one trial, such as one that was a fault")
    arguments = parser.parse_args()
    unknown = [kind for kind in arguments.kinds if kind not in KINDS]
    if unknown:
        parser.error(f"there is no kind {unknown[0]}; there are {', '.join(KINDS)}")
    logging.disable(logging.WARNING)  # thousands of warnings of wrong input would hide the faults
    tallies = {
        kind: run_trials(KINDS[kind], arguments.seconds, arguments.seed, arguments.only)
        for kind in arguments.kinds or KINDS
    }
    rows = [(kind, tally.tried, tally.refused, tally.handled, len(tally.faults)) for kind, tally in tallies.items()]
    print(tabulate(rows, ["kind", "tried", "refused", "handled", "faults"], intfmt=","))
    for kind, tally in tallies.items():
        _print_faults(kind, tally)
    return int(any(tally.faults for tally in tallies.values()))


def _print_faults(kind: str, tally: Tally) -> None:
    for trial, fault in tally.faults:
        print(f"\n{kind}, trial {trial}: {fault}")


if __name__ == "__main__":
    sys.exit(main())
