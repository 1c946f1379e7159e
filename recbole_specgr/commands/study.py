"""`recbole-specgr study`: run a study of properties/study on a data set and show its tables."""

import argparse
import sys
from pathlib import Path
from typing import Any

from recbole_specgr.commands.run_settings import settings_of_runs
from recbole_specgr.commands.seeds import add_seeds, seeds
from recbole_specgr.commands.usage import new_parser
from recbole_specgr.leaderboard.render import render_all, study_data, study_folder
from recbole_specgr.leaderboard.study_view import study_grids
from recbole_specgr.leaderboard.terminal import WIDE, to_terminal
from recbole_specgr.studies.spec import Study, list_studies, read_study
from recbole_specgr.system.interruption import Terminated

ABOUT = """\
Run a study of properties/study on a data set, show its table, and draw its files; run it again to go on.

Trained runs that exist are used, others are made first; cells that are measured already are kept."""
EXAMPLES = """
--list
ablation --dataset=ml-100k --seeds=3
hyperparameters --dataset=ml-100k --quick
"""


def run(words: list[str]) -> int:
    """0, or 1 where a cell could not be measured."""
    parser = _parser()
    arguments, settings = parser.parse_known_args(words)
    names = list_studies() if arguments.all or arguments.list else arguments.study
    if arguments.list:
        for name in names:
            study = read_study(name)
            print(f"{name:24}{study.reproduces or '-':20}{study.title}")
        return 0
    if not names:
        parser.error("name a study, or --all; --list shows them")
    given = settings_of_runs(settings, "study", "the study's own file")
    studies = [read_study(name) for name in names]
    try:
        faults = _measure(studies, arguments, given)
    except (KeyboardInterrupt, Terminated):
        print("Interrupted; the same command goes on from here.", file=sys.stderr)
        raise
    render_all(arguments.leaderboards)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("study", ABOUT, EXAMPLES, "Any other --key=value is a setting of every run.")
    parser.add_argument("study", nargs="*", help="names; all of them with --all")
    parser.add_argument("--dataset", default="ml-100k", help="(default: %(default)s)")
    add_seeds(parser)
    parser.add_argument("--all", action="store_true", help="every study")
    parser.add_argument("--list", action="store_true", help="show what studies there are")
    parser.add_argument("--quick", action="store_true", help="the first and the last value of every axis only")
    parser.add_argument("--wide", action="store_true", help="all columns, wider than the terminal")
    parser.add_argument("--leaderboards", type=Path, default=Path("leaderboards"), help="(default: %(default)s)")
    return parser


def _measure(studies: list[Study], arguments: argparse.Namespace, settings: dict[str, Any]) -> list[str]:
    """Of each study, measure what is missing and show the tables; what went wrong."""
    faults, runs = [], None
    for study in studies:
        if study.variants:
            from recbole_specgr.studies.engine import StudyRunner
            from recbole_specgr.studies.trained import TrainedRuns

            runs = runs or TrainedRuns(arguments.dataset, settings)  # one for all: it loads the data set once
            folder = study_folder(arguments.leaderboards, arguments.dataset, study.name)
            found = StudyRunner(study, runs, folder, arguments.quick).run(seeds(arguments))
            faults += [f"{study.name}: {fault}" for fault in found]
        for data in study_data(study, arguments.leaderboards, arguments.dataset):
            width = WIDE if arguments.wide else None
            print("\n\n".join(to_terminal(grid, width) for grid in study_grids(data)), end="\n\n")
    return faults
