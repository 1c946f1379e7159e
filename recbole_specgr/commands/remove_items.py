"""`recbole-specgr remove-items`: recommend items no more."""

from pathlib import Path

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.serving.history_files import read_items_file

EXAMPLES = """
my_run --items sold_out.txt
"""


def run(words: list[str]) -> int:
    parser = run_parser("remove-items", "Recommend items no more; histories may still hold them.", EXAMPLES)
    parser.add_argument("--items", type=Path, required=True, metavar="FILE", help=".txt or a table with ids")
    arguments = parser.parse_args(words)
    recommender = load(arguments)
    removed = recommender.remove_items(read_items_file(arguments.items, recommender.catalogue.item_field))
    print(f"{removed:,} items removed, kept in {recommender.save()}")
    return 0
