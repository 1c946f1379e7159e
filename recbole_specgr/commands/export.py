"""`recbole-specgr export`: a finished run as files for others."""

from pathlib import Path

from recbole_specgr.commands.finished_run import add_debug
from recbole_specgr.commands.usage import new_parser
from recbole_specgr.serving.export import export_run

EXAMPLES = """
my_run --to my_export
"""


def run(words: list[str]) -> int:
    parser = new_parser("export", "Write a run as files for others: safetensors, JSON, a card.", EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_debug(parser)
    arguments = parser.parse_args(words)
    print(export_run(arguments.run, arguments.to))
    return 0
