"""`recbole-specgr add-items`: make new items known to a finished run, without training."""

from pathlib import Path

import numpy as np

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.data.feature_files import read_feature_file
from recbole_specgr.importing.tables import column_names, read_table
from recbole_specgr.serving.history_files import read_items_file
from recbole_specgr.system.errors import UserError

EXAMPLES = """
my_run --items new_films.csv
my_run --items new_films.csv --features vectors.npz
"""


def run(words: list[str]) -> int:
    parser = run_parser("add-items", "Make new items known to a run, so that it can recommend them.", EXAMPLES)
    parser.add_argument("--items", type=Path, required=True, metavar="FILE", help="a table with ids and text fields")
    parser.add_argument("--features", type=Path, metavar="FILE", help="their text vectors (.npz or .npy), if ready")
    arguments = parser.parse_args(words)
    recommender = load(arguments)
    frame = read_table(arguments.items, column_names(arguments.items))
    vectors = None
    if arguments.features:
        tokens = read_items_file(arguments.items, recommender.catalogue.item_field)
        vectors = _vectors(arguments.features, tokens)
    added = recommender.add_items(frame, vectors)
    print(f"{added:,} items added, kept in {recommender.save()}")
    return 0


def _vectors(path: Path, tokens: list[str]) -> np.ndarray:
    """The vectors `[n, d]` of these items. Raises UserError where the file lacks one."""
    named, vectors = read_feature_file(path)
    row_of = {token: row for row, token in enumerate(named.tolist())}
    missing = [token for token in tokens if token not in row_of]
    if missing:
        raise UserError(f"{path} lacks the vectors of {len(missing)} of the items, such as {', '.join(missing[:3])}.")
    return vectors[[row_of[token] for token in tokens]]
