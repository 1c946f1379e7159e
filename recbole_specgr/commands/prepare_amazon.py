"""`recbole-specgr prepare-amazon`: a data set of a category of Amazon Reviews 2023."""

import sys

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.importing.amazon import prepare_amazon
from recbole_specgr.importing.amazon_files import REVISION
from recbole_specgr.system.errors import UserError

EXAMPLES = """
--category=Video_Games
--category=Office_Products --source downloaded/
"""
AFTERWARDS = "Afterwards: recbole-specgr train --model=SpecGRPP --dataset=Amazon2023_Video_Games"


def run(words: list[str]) -> int:
    """0, or 1 after a sentence on stderr that says what is wrong."""
    parser = new_parser(
        "prepare-amazon", "Turn a category of Amazon Reviews 2023 into a data set.", EXAMPLES, AFTERWARDS
    )
    parser.add_argument("--category", required=True, help="such as Video_Games, Office_Products")
    parser.add_argument("--source", metavar="FOLDER", help="take the files from here instead of the hub")
    parser.add_argument("--output", default="dataset", metavar="FOLDER", help="(default: %(default)s)")
    parser.add_argument(
        "--downloads", default=".cache/amazon2023", metavar="FOLDER", help="keeps fetched files (default: %(default)s)"
    )
    parser.add_argument("--revision", default=REVISION, help="commit of the hub's repository (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set when it exists")
    try:
        print(prepare_amazon(**vars(parser.parse_args(words))))
    except KeyboardInterrupt:
        print("stopped: run the same command again, it goes on from what has arrived.", file=sys.stderr)
        raise
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
