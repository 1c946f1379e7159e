"""`recbole-specgr import-run`: a run from the files that `export` wrote."""

from pathlib import Path

from recbole_specgr.commands.finished_run import add_debug
from recbole_specgr.commands.usage import new_parser
from recbole_specgr.serving.export import import_run

EXAMPLES = """
my_export --to their_run
"""


def run(words: list[str]) -> int:
    parser = new_parser("import-run", "Make a run of the files that `recbole-specgr export` wrote.", EXAMPLES)
    parser.add_argument("folder", type=Path, metavar="DIR", help="what export wrote")
    parser.add_argument("--to", type=Path, metavar="RUN", help="a new folder; one under runs/ when not given")
    add_debug(parser)
    arguments = parser.parse_args(words)
    print(import_run(arguments.folder, arguments.to))
    return 0
