"""`recbole-specgr recommend`: lists for a file of histories."""

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from recbole_specgr.commands.finished_run import load, run_parser
from recbole_specgr.serving.history_files import read_histories, read_items_file, recommendations_file

_PIECE = 8192  # users between two writes
DECODING = ("batch_size", "draft_size", "num_beams", "threshold")
EXAMPLES = """
my_run --histories histories.csv --k 20 --out lists.csv
my_run --histories histories.parquet --candidates in_stock.txt --exclude-history
"""


def run(words: list[str]) -> int:
    """0; 141 where whoever reads the printed lists has enough."""
    arguments = _parser().parse_args(words)
    try:
        _recommend(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = run_parser("recommend", "Write a list of recommended items for each history of a file.", EXAMPLES)
    parser.add_argument("--histories", type=Path, required=True, metavar="FILE", help="CSV, JSON lines or Parquet")
    parser.add_argument("--k", type=int, default=20, help="length of a list (20)")
    parser.add_argument("--candidates", type=Path, metavar="FILE", help="the items to choose from: .txt or a table")
    history = parser.add_mutually_exclusive_group()
    history.add_argument("--exclude-history", action="store_true", help="nothing that the history itself holds")
    history.add_argument(
        "--include-history", action="store_true", help="that, too; without either it depends on the data"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=".csv, .tsv, .jsonl or .parquet; else printed")
    parser.add_argument("--on-unknown", choices=("drop", "error"), default="drop", help="unknown items (drop)")
    parser.add_argument("--batch-size", type=int, help="users a batch")
    parser.add_argument("--draft-size", type=int, help="of SpecGR: items drafted a round")
    parser.add_argument("--num-beams", type=int, help="of a generative model: prefixes kept")
    parser.add_argument("--threshold", type=float, help="of SpecGR: what a draft's score must exceed")
    return parser


def _recommend(arguments: argparse.Namespace) -> None:
    recommender = load(arguments)
    given = vars(arguments)
    settings = {name: given[name] for name in DECODING if given[name] is not None}
    candidates = None
    if arguments.candidates:
        candidates = read_items_file(arguments.candidates, recommender.catalogue.item_field)
    if arguments.include_history:
        recommender.config["repeatable"] = True  # the rule by which the run was measured may leave it out
    by_data = recommender.catalogue.repeats is False and not arguments.include_history
    by_rule = not recommender.config["repeatable"]
    without_history = arguments.exclude_history or by_data
    users = unknown = empty = 0
    bar = tqdm(desc="recommend", unit="user", disable=None if arguments.out else True, dynamic_ncols=True)
    with bar, recommendations_file(arguments.out) as write:
        for piece in read_histories(arguments.histories, _PIECE):
            found = recommender.recommend(
                piece.histories,
                arguments.k,
                candidates,
                "history" if without_history else None,
                times=piece.times,
                on_unknown=arguments.on_unknown,
                **settings,
            )
            write(piece.users, found)
            users, unknown, empty = users + len(found), unknown + found.unknown, empty + len(found.empty)
            bar.total = round(users / max(piece.done, 1e-9))
            bar.update(len(found))
    notes = [f"users: {users:,}"]
    if (by_data or by_rule) and not arguments.exclude_history:
        of_data = f"for no user of {recommender.config['dataset']} comes back to an item"
        why = of_data if by_data else "as those that the run was measured by do"
        notes.append(f"lists leave out the history, {why} (--include-history)")
    notes += [f"unknown items left out of their histories: {unknown:,}"] if unknown else []
    notes += [f"users without any known item, whose lists are empty: {empty:,}"] if empty else []
    print("; ".join(notes) + (f": {arguments.out}" if arguments.out else ""), file=sys.stderr)
