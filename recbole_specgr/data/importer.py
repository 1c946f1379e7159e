"""Interaction and item files as people have them -> RecBole atomic files and a property file beside them.

    dataset/NAME/NAME.inter           user_id:token  item_id:token  timestamp:float, in the order of the source file
    dataset/NAME/NAME.item            item_id:token and the text fields: `token` for a text, `token_seq` for a list
    dataset/NAME/NAME.yaml            the data set's layer of the configuration
    dataset/NAME/text_features.npz    only where ready text features were given

The folder appears whole or not at all. What is wrong with the input is an error that says so; what can be put right
is put right and counted in the table that `ImportReport` prints.
"""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_specgr.data.columns import ITEM_NAMES, TIME_NAMES, USER_NAMES, choose_column, drop_rows, id_categories
from recbole_specgr.data.item_table import LIST_SEPARATOR, match_items, read_items
from recbole_specgr.data.split import split_times
from recbole_specgr.data.statistics import interaction_statistics, statistics_table
from recbole_specgr.data.tables import column_names, read_table
from recbole_specgr.data.timestamps import parse_times
from recbole_specgr.errors import UserError

SPLIT = [0.8, 0.9]
FEATURES_FILE = "text_features.npz"
_BUILT_IN = "ml-100k"  # RecBole reads this name from its own folder, whatever data_path says


@dataclass
class ImportReport:
    """Where the data set went and what was found; `str()` is the table of statistics."""

    folder: Path
    columns: dict[str, str]  # our field -> the source's column
    statistics: dict[str, Any]
    counts: dict[str, int]  # what was put right, by description

    def __str__(self) -> str:
        chosen = ", ".join(f"{field} = [{column}]" for field, column in self.columns.items())
        table = statistics_table(self.statistics, f"timestamp_split {SPLIT}", self.counts)
        return f"Columns: {chosen}\n{table}\nWritten to {self.folder}"


def import_dataset(
    interactions: str | os.PathLike,
    items: str | os.PathLike,
    name: str,
    output: str | os.PathLike = "dataset",
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    text_fields: Sequence[str] | None = None,
    text_features: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> ImportReport:
    """Read, check, and write the data set `name` to the folder `output/name`.

    Args:
        interactions, items: CSV, TSV, Parquet or JSON-lines files, plain or .gz.
        user_column, item_column, time_column: names of columns; guessed from common names when not given.
            `item_column` is looked for in both files.
        text_fields: columns of `items` that make the item's sentence, in this order; guessed when not given.
        text_features: .npz with `item_id` [M] and `features` [M, d] for at least all interacted items.
        overwrite: replace the folder when it exists.

    Raises:
        UserError: a column is not there, times that are not times or in mixed units, nothing is left, no item has
            text, text features that lack items, a name that cannot be used, or a folder that exists.
        FileNotFoundError: an input file does not exist.
    """
    folder = _target_folder(Path(output), name, overwrite)
    counts: dict[str, int] = {}
    frame, columns = _read_interactions(Path(interactions), user_column, item_column, time_column, counts)
    texts, text_columns = read_items(Path(items), item_column, columns["item_id"], text_fields, counts)
    texts = match_items(frame["item_id"].cat.categories, texts, Path(items), counts)
    features = _read_features(Path(text_features), texts.index) if text_features else None

    users, ids = (frame[field].cat.codes.to_numpy().astype(np.int64) for field in ("user_id", "item_id"))
    times = frame["timestamp"].to_numpy()
    statistics = interaction_statistics(users, ids, times, split_times(times, SPLIT))
    report = ImportReport(folder, {**columns, **text_columns}, statistics, counts)
    labels = [field for field in texts if texts[field].map(lambda cell: isinstance(cell, list)).any()]
    with _whole_folder(folder) as scratch:
        _write_atomic(scratch / f"{name}.inter", frame, {"timestamp": "float"})
        _write_items(scratch / f"{name}.item", texts, labels)
        if features is not None:
            np.savez(scratch / FEATURES_FILE, item_id=texts.index.to_numpy(dtype=str), features=features)
        properties = _properties(list(texts), labels, features is not None)
        (scratch / f"{name}.yaml").write_text(_property_file(properties, report), encoding="utf-8")
    return report


# ---- interactions ----------------------------------------------------------------------------------------------------


def _read_interactions(
    path: Path, user: str | None, item: str | None, time: str | None, counts: dict[str, int]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Columns user_id, item_id (categories of strings) and timestamp (int64), in the order of the file."""
    known = column_names(path)
    chosen = {
        "user_id": choose_column(known, user, USER_NAMES, path, "user"),
        "item_id": choose_column(known, item, ITEM_NAMES, path, "item"),
        "timestamp": choose_column(known, time, TIME_NAMES, path, "time"),
    }
    source = read_table(path, list(chosen.values()))
    frame = pd.DataFrame({field: id_categories(source[chosen[field]], path) for field in ("user_id", "item_id")})
    frame["timestamp"] = source[chosen["timestamp"]]
    del source

    nameless = frame["user_id"].isna() | frame["item_id"].isna()
    frame = drop_rows(frame, nameless, "interactions without user or item id", counts)
    frame = drop_rows(frame, frame["timestamp"].isna(), "interactions without a time", counts)
    if frame.empty:
        raise UserError(f"{path} has no row with a user id, an item id and a time. {_columns_hint(chosen)}")
    frame["timestamp"] = parse_times(frame["timestamp"], f"{path}, column [{chosen['timestamp']}]")

    in_time = frame.sort_values("timestamp", kind="stable")
    repeated = in_time.duplicated(["user_id", "item_id"]).sort_index()
    frame = drop_rows(frame, repeated, "repeated (user, item) pairs (the first was kept)", counts)
    for field in ("user_id", "item_id"):
        frame[field] = frame[field].cat.remove_unused_categories()
    return frame, chosen


def _columns_hint(chosen: dict[str, str]) -> str:
    return "Columns taken: " + ", ".join(f"{field} = [{column}]" for field, column in chosen.items()) + "."


def _read_features(path: Path, items: pd.Index) -> np.ndarray:
    """Rows of `features` [M, d] in the order of `items` [N]: [N, d]."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tokens, features = arrays["item_id"].astype(str), arrays["features"]
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} must be an .npz with the arrays item_id and features: {error}") from error
    if tokens.ndim != 1 or features.ndim != 2 or len(tokens) != len(features):
        raise UserError(f"{path} holds item_id {tokens.shape} and features {features.shape}, not [M] and [M, d].")
    index = pd.Index(tokens)
    if not index.is_unique:
        raise UserError(f"{path} holds some item ids twice, such as {index[index.duplicated()][0]}.")
    rows = index.get_indexer(items)
    if (rows < 0).any():
        lacking = items[rows < 0]
        raise UserError(
            f"{path} lacks {len(lacking):,} of the {len(items):,} interacted items, such as {', '.join(lacking[:3])}: "
            "are these the features of this data set?"
        )
    return features[rows]


# ---- writing ---------------------------------------------------------------------------------------------------------


def _target_folder(output: Path, name: str, overwrite: bool) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"--name [{name}] must be letters, digits, [-], [_] and [.], and start with a letter or digit.")
    if name == _BUILT_IN:
        raise UserError(f"--name [{name}] is taken: RecBole reads it from its own folder. Choose another name.")
    folder = output / name
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists. Give --overwrite to replace it, or another --name.")
    return folder


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder` that takes its place on success and vanishes on any error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
    ) as parent:
        scratch = Path(parent) / "new"
        scratch.mkdir()
        yield scratch
        if folder.exists():
            folder.rename(Path(parent) / "old")
        scratch.rename(folder)


def _write_atomic(path: Path, frame: pd.DataFrame, types: dict[str, str]) -> None:
    header = [f"{field}:{types.get(field, 'token')}" for field in frame]
    frame.to_csv(path, sep="\t", index=False, header=header, encoding="utf-8", lineterminator="\n")


def _write_items(path: Path, texts: pd.DataFrame, labels: Sequence[str]) -> None:
    frame = texts.copy()
    for field in labels:
        frame[field] = frame[field].map(LIST_SEPARATOR.join)
    _write_atomic(path, frame.reset_index(), dict.fromkeys(labels, "token_seq"))


def _properties(fields: list[str], labels: list[str], features: bool) -> dict[str, Any]:
    """The data set's layer of the configuration."""
    found: dict[str, Any] = {
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "field_separator": "\t",
        "seq_separator": LIST_SEPARATOR,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", *fields]},
        "timestamp_split": SPLIT,
        "text_fields": fields,
    }
    if features:
        found["text_encoder"] = FEATURES_FILE
    if labels:
        found["selected_features"] = labels[:1]
        found["item_attribute"] = labels[0]
    return found


def _property_file(properties: dict[str, Any], report: ImportReport) -> str:
    table = statistics_table(report.statistics, f"timestamp_split {SPLIT}", report.counts)
    head = "\n".join(f"# {line}".rstrip() for line in ["What scripts/import_dataset.py found.", *table.splitlines()])
    return head + "\n" + yaml.safe_dump(properties, sort_keys=False, allow_unicode=True, default_flow_style=None)
