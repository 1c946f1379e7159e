"""`recbole-specgr add-items`: make new items known to a finished run, without training."""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.data.feature_files import read_feature_file
from recbole_specgr.importing.columns import ITEM_NAMES, choose_column
from recbole_specgr.importing.tables import column_names, read_table
from recbole_specgr.serving.new_items import item_tokens
from recbole_specgr.system.errors import UserError

EXAMPLES = """
my_run --items new_films.csv
my_run --items new_albums.csv --item-column album_id
my_run --items new_films.csv --features vectors.npz
"""


def run(words: list[str]) -> int:
    parser = run_parser("add-items", "Make new items known to a run, so that it can recommend them.", EXAMPLES)
    parser.add_argument("--items", type=Path, required=True, metavar="FILE", help="a table with ids and text fields")
    parser.add_argument("--features", type=Path, metavar="FILE", help="their text vectors (.npz or .npy), if ready")
    parser.add_argument(
        "--item-column", metavar="COLUMN", help="with the ids; guessed as import-data does when not given"
    )
    arguments = parser.parse_args(words)
    recommender = load(arguments)
    frame = _read_items(arguments.items, arguments.item_column, recommender.catalogue.item_field)
    vectors = None
    if arguments.features:
        vectors = _vectors(arguments.features, item_tokens(frame, recommender.catalogue.item_field))
    added = recommender.add_items(frame, vectors)
    print(f"{added:,} items added, kept in {recommender.save()}")
    return 0


def _read_items(path: Path, item_column: str | None, item_field: str) -> pd.DataFrame:
    """The table of the items, with their ids in the column `item_field`.

    Args:
        item_column: the file's name of that column; None: the run's own name or, where the file has none of it, the
            first of the names that the importer knows.
        item_field: the run's name.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it can't be read, or the column is not there.
    """
    names = column_names(path)
    column = choose_column(names, item_column, (item_field, *ITEM_NAMES), path, "item")
    # Another column of the run's name is not what names an item here.
    others = [name for name in names if name != column and name.partition(":")[0] == item_field]
    return read_table(path, names).drop(columns=others).rename(columns={column: item_field})


def _vectors(path: Path, tokens: list[str]) -> np.ndarray:
    """The vectors `[n, d]` of these items. Raises UserError where the file lacks one."""
    named, vectors = read_feature_file(path)
    row_of = {token: row for row, token in enumerate(named.tolist())}
    missing = [token for token in tokens if token not in row_of]
    if missing:
        raise UserError(f"{path} lacks the vectors of {len(missing)} of the items, such as {', '.join(missing[:3])}.")
    return vectors[[row_of[token] for token in tokens]]
