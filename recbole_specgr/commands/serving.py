"""The commands of the console script that use a finished run: recommend, add-items, remove-items, show, export,
import."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from recbole_specgr.system.errors import UserError

_PIECE = 8192  # users between two writes


def run_command(argv: list[str]) -> int:
    """Do what `argv`, which begins with a command's name, asks for. Raises what `Recommender` raises."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except BrokenPipeError:  # whoever reads what is printed has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _recommend(arguments: argparse.Namespace) -> None:
    from recbole_specgr.serving.history_files import read_histories, read_items_file, recommendations_file

    recommender = _loaded(arguments)
    settings = _given(arguments, "batch_size", "draft_size", "num_beams", "threshold")
    candidates = None
    if arguments.candidates:
        candidates = read_items_file(arguments.candidates, recommender.catalogue.item_field)
    users = unknown = empty = 0
    bar = tqdm(desc="recommend", unit="user", disable=None if arguments.out else True, dynamic_ncols=True)
    with bar, recommendations_file(arguments.out) as write:
        for piece in read_histories(arguments.histories, _PIECE):
            found = recommender.recommend(
                piece.histories,
                arguments.k,
                candidates,
                "history" if arguments.exclude_history else None,
                on_unknown=arguments.on_unknown,
                **settings,
            )
            write(piece.users, found)
            users, unknown, empty = users + len(found), unknown + found.unknown, empty + len(found.empty)
            bar.total = round(users / max(piece.done, 1e-9))
            bar.update(len(found))
    notes = [f"users: {users:,}"]
    notes += [f"unknown items left out of their histories: {unknown:,}"] if unknown else []
    notes += [f"users without any known item, whose lists are empty: {empty:,}"] if empty else []
    print("; ".join(notes) + (f": {arguments.out}" if arguments.out else ""), file=sys.stderr)


def _add_items(arguments: argparse.Namespace) -> None:
    from recbole_specgr.importing.tables import column_names, read_table
    from recbole_specgr.serving.history_files import read_items_file

    recommender = _loaded(arguments)
    frame = read_table(arguments.items, column_names(arguments.items))
    vectors = None
    if arguments.features:
        tokens = read_items_file(arguments.items, recommender.catalogue.item_field)
        vectors = _vectors(arguments.features, tokens)
    added = recommender.add_items(frame, vectors)
    print(f"{added:,} items added, kept in {recommender.save()}")


def _remove_items(arguments: argparse.Namespace) -> None:
    from recbole_specgr.serving.history_files import read_items_file

    recommender = _loaded(arguments)
    removed = recommender.remove_items(read_items_file(arguments.items, recommender.catalogue.item_field))
    print(f"{removed:,} items removed, kept in {recommender.save()}")


def _show(arguments: argparse.Namespace) -> None:
    from recbole_specgr.serving.show import user_page

    print(user_page(_loaded(arguments), arguments.user, arguments.k))


def _export(arguments: argparse.Namespace) -> None:
    from recbole_specgr.serving.export import export_run

    print(export_run(arguments.run, arguments.to))


def _import(arguments: argparse.Namespace) -> None:
    from recbole_specgr.serving.export import import_run

    print(import_run(arguments.folder, arguments.to))


def _loaded(arguments: argparse.Namespace):
    from recbole_specgr.serving.recommender import Recommender

    settings = {} if arguments.data_path is None else {"data_path": arguments.data_path}
    return Recommender.load(arguments.run, arguments.device, arguments.precision, settings)


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def _vectors(path: Path, tokens: list[str]):
    from recbole_specgr.data.feature_files import read_feature_file

    named, vectors = read_feature_file(path)
    row_of = {token: row for row, token in enumerate(named.tolist())}
    missing = [token for token in tokens if token not in row_of]
    if missing:
        raise UserError(f"{path} lacks the vectors of {len(missing)} of the items, such as {', '.join(missing[:3])}.")
    return vectors[[row_of[token] for token in tokens]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="recbole-specgr", description="Use a finished run.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = argparse.ArgumentParser(add_help=False)
    run.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    run.add_argument("--debug", action="store_true", help="show the traceback of an error")
    use = argparse.ArgumentParser(add_help=False)
    use.add_argument("--device", help="cpu, cuda or cuda:N; the run's own setting when not given")
    use.add_argument(
        "--precision", choices=("fp64", "fp32"), help="fp32 is faster, fp64 the same in every batch (fp64)"
    )
    use.add_argument("--data_path", help="where the folders of data sets are, for what needs the interactions")

    command = commands.add_parser("recommend", parents=[run, use], help="lists for a file of histories")
    command.add_argument("--histories", type=Path, required=True, metavar="FILE", help="CSV, JSON lines or Parquet")
    command.add_argument("--k", type=int, default=20, help="length of a list (20)")
    command.add_argument("--candidates", type=Path, metavar="FILE", help="the items to choose from: .txt or a table")
    command.add_argument("--exclude-history", action="store_true", help="nothing that the history itself holds")
    command.add_argument("--out", type=Path, metavar="FILE", help=".csv, .tsv, .jsonl or .parquet; else printed")
    command.add_argument("--on-unknown", choices=("drop", "error"), default="drop", help="unknown items (drop)")
    command.add_argument("--batch-size", type=int, help="users a batch")
    command.add_argument("--draft-size", type=int, help="of SpecGR: items drafted a round")
    command.add_argument("--num-beams", type=int, help="of a generative model: prefixes kept")
    command.add_argument("--threshold", type=float, help="of SpecGR: what a draft's score must exceed")
    command.set_defaults(command=_recommend)

    command = commands.add_parser("add-items", parents=[run, use], help="make new items known, without training")
    command.add_argument("--items", type=Path, required=True, metavar="FILE", help="a table with ids and text fields")
    command.add_argument("--features", type=Path, metavar="FILE", help="their text vectors (.npz or .npy), if ready")
    command.set_defaults(command=_add_items)

    command = commands.add_parser("remove-items", parents=[run, use], help="recommend items no more")
    command.add_argument("--items", type=Path, required=True, metavar="FILE", help=".txt or a table with ids")
    command.set_defaults(command=_remove_items)

    command = commands.add_parser(
        "show", parents=[run, use], help="a user's history, and what the user does not know yet"
    )
    command.add_argument("--user", required=True, help="the user's id in the data set")
    command.add_argument("--k", type=int, default=10, help="length of the list (10)")
    command.set_defaults(command=_show)

    command = commands.add_parser("export", parents=[run], help="the run as files for others")
    command.add_argument("--to", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    command.set_defaults(command=_export)

    command = commands.add_parser("import", help="a run from such files")
    command.add_argument("folder", type=Path, metavar="DIR", help="what export wrote")
    command.add_argument("--to", type=Path, metavar="RUN", help="a new folder; one under runs/ when not given")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(command=_import)
    return parser
