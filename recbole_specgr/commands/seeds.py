"""The seeds of the commands that make each of their runs several times."""

import argparse

from recbole_specgr.settings.layer_files import overall_settings


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """`--seed` and `--seeds`, which `seeds` reads."""
    parser.add_argument(
        "--seed", type=int, default=overall_settings()["seed"], help="the first one (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on (default: %(default)s)")


def seeds(arguments: argparse.Namespace) -> list[int]:
    """The seeds that the words of such a parser name, in their order."""
    return list(range(arguments.seed, arguments.seed + arguments.seeds))
