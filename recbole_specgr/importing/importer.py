"""Interaction and item files as people have them -> RecBole atomic files and a property file beside them.

The folder appears whole or not at all. What is wrong with the input is an error that says so; what can be put right
is put right and counted in the table that `ImportReport` prints.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_specgr.data.feature_files import read_feature_file
from recbole_specgr.data.splits.by_time import ByTime
from recbole_specgr.data.splits.contract import Interactions
from recbole_specgr.data.statistics import interaction_statistics, statistics_table
from recbole_specgr.importing.atomic_files import (
    base_properties,
    target_folder,
    whole_folder,
    write_interactions,
    write_items,
    write_properties,
)
from recbole_specgr.importing.filters import Filters
from recbole_specgr.importing.interactions import read_interactions, repeats_removed
from recbole_specgr.importing.item_table import WITHOUT_INTERACTIONS, ItemTable, ids_alone, match_items, read_items
from recbole_specgr.system.errors import UserError

SPLIT = [0.8, 0.9]
FEATURES_FILE = "text_features.npz"
IDS_ALONE = (
    "Items are known by their ids alone. Models that read texts (TIGER, SpecGR++, UniSRec, ...) can't be run on this;\n"
    "SASRec, HSTU, MostPop and ItemCoCount can, and recommend no new items. --items FILE brings texts."
)

LATER = (
    "Items without interactions are left out of the data set. When a run of it is trained, they can be added to that:\n"
    "recbole-specgr add-items RUN --items FILE"
)


@dataclass
class ImportReport:
    """Where the data set went and what was found; `str()` is the table of statistics."""

    folder: Path
    columns: dict[str, str]  # our field -> the source's column
    unused: list[str]  # columns of the items file that nothing is taken from
    statistics: dict[str, Any]
    counts: dict[str, int]  # what was put right, by description
    note: str | None = None  # what must be known of results on this data
    written: bool = True

    def __str__(self) -> str:
        chosen = ", ".join(f"{field} = [{column}]" for field, column in self.columns.items())
        later = LATER if self.counts.get(WITHOUT_INTERACTIONS) else None
        end = f"Written to {self.folder}" if self.written else f"Dry run: {self.folder} was not written."
        lines = [f"Columns: {chosen}", self.table, later, self.note, end]
        if self.unused:
            lines.insert(
                1,
                f"Not used of the items: {', '.join(self.unused)} (--text-fields A,B and --feature-fields A,B choose)",
            )
        return "\n".join(filter(None, lines))

    @property
    def table(self) -> str:
        return statistics_table(self.statistics, f"timestamp_split {SPLIT}", self.counts)


def import_dataset(
    interactions: str | os.PathLike,
    items: str | os.PathLike | None,
    name: str,
    output: str | os.PathLike = "dataset",
    user_column: str | None = None,
    item_column: str | None = None,
    time_column: str | None = None,
    text_fields: Sequence[str] | None = None,
    feature_fields: Sequence[str] = (),
    text_features: str | os.PathLike | None = None,
    filters: Filters | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> ImportReport:
    """Read, check, and write the data set `name` to the folder `output/name`.

    Args:
        interactions, items: CSV, TSV, Parquet or JSON-lines files, plain or .gz. Both may be one file, whose first row
            of an item describes it. Without items nothing is known of them but their ids.
        user_column, item_column, time_column: names of columns; guessed from common names when not given.
            `item_column` is looked for in both files.
        text_fields: columns of `items` that make the item's sentence, in this order; guessed when not given.
        feature_fields: columns of `items`, lists or single labels, that models with item features take.
        text_features: .npz with `item_id` [M] and `features` [M, d] for at least all interacted items.
        filters: a period of time and a k-core; everything when not given.
        overwrite: replace the folder when it exists.
        dry_run: do everything but write.

    Raises:
        UserError: a column is not there, times that are not times or in mixed units, nothing is left, no item has
            text, text features that lack items, a name that cannot be used, or a folder that exists.
        FileNotFoundError: an input file does not exist.
    """
    if items is None:
        _refuse_columns(text_fields, feature_fields)
    folder = target_folder(Path(output), name, overwrite or dry_run)
    filters = filters or Filters()
    counts: dict[str, int] = {}
    frame, columns = read_interactions(Path(interactions), user_column, item_column, time_column, filters, counts)
    interacted = frame["item_id"].cat.categories
    if items is None:
        table = ids_alone(interacted)
        kept = table.frame
    else:
        table = read_items(Path(items), item_column, columns["item_id"], text_fields, feature_fields, counts)
        kept = match_items(interacted, table.frame, table.text_fields, Path(items), counts)
    features = _read_features(Path(text_features), kept.index) if text_features else None

    users, ids = (frame[field].cat.codes.to_numpy().astype(np.int64) for field in ("user_id", "item_id"))
    times = frame["timestamp"].to_numpy()
    split = ByTime(
        Interactions(users, ids, times, interacted.to_numpy()),
        {"timestamp_split": SPLIT, "launch_holdout": None},
    )
    statistics = interaction_statistics(split)
    columns |= _roles(table)
    untold = IDS_ALONE if items is None and text_features is None else None
    note = "\n".join(filter(None, [filters.note, untold])) or None
    report = ImportReport(folder, columns, table.unused, statistics, counts, note, not dry_run)
    if dry_run:
        return report
    with whole_folder(folder) as scratch:
        write_interactions(scratch / f"{name}.inter", frame)
        write_items(scratch / f"{name}.item", kept, table.kinds)
        if features is not None:
            np.savez(scratch / FEATURES_FILE, item_id=kept.index.to_numpy(dtype=str), features=features)
        found = "\n".join(filter(None, ["What `recbole-specgr import-data` found.", report.table, note]))
        write_properties(
            scratch / f"{name}.yaml", _properties(table, features is not None) | repeats_removed(counts), found
        )
    return report


def _refuse_columns(text_fields: Sequence[str] | None, feature_fields: Sequence[str]) -> None:
    """Raise UserError where columns of an items file are asked for and there is none."""
    for option, fields in (("--text-fields", text_fields), ("--feature-fields", feature_fields)):
        if fields:
            raise UserError(
                f"{option} {','.join(fields)} names columns of the items file. Give it with --items FILE; if these "
                "columns are among the interactions, it may be the same file."
            )


def _roles(table: ItemTable) -> dict[str, str]:
    texts = {f"text {field}": table.columns[field] for field in table.text_fields}
    return texts | {f"feature {field}": table.columns[field] for field in table.feature_fields}


def _read_features(path: Path, items: pd.Index) -> np.ndarray:
    """Rows of `features` [M, d] in the order of `items` [N]: [N, d]."""
    tokens, features = read_feature_file(path)
    rows = pd.Index(tokens).get_indexer(items)
    if (rows < 0).any():
        lacking = items[rows < 0]
        raise UserError(
            f"{path} lacks {len(lacking):,} of the {len(items):,} interacted items, such as {', '.join(lacking[:3])}: "
            "are these the features of this data set?"
        )
    return features[rows]


def _properties(table: ItemTable, text_features: bool) -> dict[str, Any]:
    """The data set's layer of the configuration."""
    lists = [field for field, kind in table.kinds.items() if kind == "token_seq"]
    found = base_properties(list(table.frame)) | {"timestamp_split": SPLIT, "text_fields": table.text_fields}
    # Test lies further away from training than valid, so more of it is new: tune for that, not for valid's share.
    found["tune_unseen_share"] = "auto"
    if text_features:
        found["text_encoder"] = FEATURES_FILE
    features = table.feature_fields or list(lists[:1])
    if features:
        found["selected_features"] = features
    if attributes := [field for field in features if field in lists]:
        found["item_attribute"] = attributes[0]
    return found
