"""`recbole-specgr import-data`: a data set of a file of interactions and, where there is one, a file of items."""

import argparse
import sys

from recbole_specgr.commands.usage import new_parser
from recbole_specgr.importing.filters import Filters
from recbole_specgr.importing.importer import import_dataset
from recbole_specgr.system.errors import UserError

EXAMPLES = """
--interactions ratings.csv --items films.csv --name my_films --dry-run
--interactions clicks.csv --name clicks
--interactions reviews.csv.gz --items meta.jsonl.gz --name games --min-interactions 5
"""
AFTERWARDS = "Afterwards: recbole-specgr train --model=SpecGRPP --dataset=NAME"


def run(words: list[str]) -> int:
    """0, or 1 after a sentence on stderr that says what is wrong with the input."""
    options = vars(_parser().parse_args(words))
    for name in ("text_fields", "feature_fields"):
        options[name] = [field.strip() for field in (options[name] or "").split(",") if field.strip()]
    period = {name: options.pop(name) for name in ("since", "until", "min_interactions")}
    try:
        print(import_dataset(**options, filters=Filters(**period)))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "import-data",
        "Turn a file of interactions, and one of items, into a data set that --dataset=NAME takes.",
        EXAMPLES,
        AFTERWARDS,
    )
    parser.add_argument("--interactions", required=True, metavar="FILE", help="CSV, TSV, Parquet or JSONL, also .gz")
    parser.add_argument(
        "--items",
        metavar="FILE",
        help="the same formats; one row an item. It may be the same file. Without it items are known by their ids "
        "alone, and models that read texts want --text-features",
    )
    parser.add_argument("--name", required=True, help="name of the data set")
    parser.add_argument("--output", default="dataset", metavar="FOLDER", help="where NAME/ goes (default: dataset)")
    parser.add_argument("--user-column", metavar="COLUMN", help="guessed from common names when not given")
    parser.add_argument("--item-column", metavar="COLUMN", help="guessed from common names when not given")
    parser.add_argument("--time-column", metavar="COLUMN", help="guessed from common names when not given")
    parser.add_argument(
        "--text-fields", metavar="A,B", help="columns of the items file that describe an item, in order"
    )
    parser.add_argument(
        "--feature-fields", metavar="A,B", help="columns of the items file that FDSA, S3Rec, ... take as item features"
    )
    parser.add_argument("--text-features", metavar="FILE.npz", help="arrays item_id [M], features [M, d]")
    parser.add_argument(
        "--min-interactions", type=int, default=1, metavar="N", help="keep the N-core of users and items"
    )
    parser.add_argument("--from", dest="since", metavar="TIME", help="keep interactions from this date or time on")
    parser.add_argument("--to", dest="until", metavar="TIME", help="keep interactions before this date or time")
    parser.add_argument("--dry-run", action="store_true", help="print what would be imported, write nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set when it exists")
    return parser
