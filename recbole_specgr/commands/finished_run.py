"""What the commands that use a finished run have in common."""

import argparse
from pathlib import Path

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.serving.recommender import Recommender


def run_parser(command: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A parser of the run, and of where and how exactly it is computed."""
    parser = new_parser(command, description, examples)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--device", help="cpu, cuda or cuda:N; the run's own setting when not given")
    parser.add_argument(
        "--precision", choices=("fp64", "fp32"), help="fp32 is faster, fp64 the same in every batch (fp64)"
    )
    parser.add_argument("--data_path", help="where the folders of data sets are, for what needs the interactions")
    add_debug(parser)
    return parser


def add_debug(parser: argparse.ArgumentParser) -> None:
    """`--debug`, which `command_line.main` reads."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def load(arguments: argparse.Namespace) -> Recommender:
    """The run that the words of such a parser name. Raises what `Recommender.load` raises."""
    settings = {} if arguments.data_path is None else {"data_path": arguments.data_path}
    return Recommender.load(arguments.run, arguments.device, arguments.precision, settings)
