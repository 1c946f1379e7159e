"""Amazon Reviews 2023, one category as the paper uses it, as a data set that --dataset takes by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.data.published import published_statistics, published_table
from recbole_specgr.data.splits.by_time import ByTime
from recbole_specgr.data.splits.contract import Interactions
from recbole_specgr.data.statistics import interaction_statistics, statistics_table
from recbole_specgr.importing.amazon_files import REVISION, fetch_files, find_files
from recbole_specgr.importing.amazon_reviews import FIELDS, LIST_FIELDS, SPLIT, TEXT_FIELDS, read_metadata, read_splits
from recbole_specgr.importing.atomic_files import (
    base_properties,
    target_folder,
    whole_folder,
    write_interactions,
    write_items,
    write_properties,
)
from recbole_specgr.importing.interactions import repeats_removed
from recbole_specgr.importing.item_table import match_items
from recbole_specgr.system.errors import UserError

#: The data set's layer of the configuration, the same for every category but for `repeats_removed`.
PROPERTIES = base_properties(FIELDS) | {
    "timestamp_split": list(SPLIT),
    "text_fields": list(TEXT_FIELDS),
    "text_cleaning": "ascii",
    "text_encoder": "sentence-transformers/sentence-t5-base",
    "selected_features": [*LIST_FIELDS, "brand"],
    "item_attribute": LIST_FIELDS[0],
}


@dataclass
class AmazonReport:
    """Where the data set went and what was found; `str()` is the tables of statistics."""

    folder: Path
    statistics: dict[str, Any]
    counts: dict[str, int]  # what was put right, by description
    published: dict[str, Any] | None

    def __str__(self) -> str:
        parts = [self.table, published_table(self.statistics, self.published), f"Written to {self.folder}"]
        return "\n\n".join(filter(None, parts))

    @property
    def table(self) -> str:
        return statistics_table(self.statistics, "the benchmark's cut", self.counts)


def prepare_amazon(
    category: str,
    source: str | os.PathLike | None = None,
    output: str | os.PathLike = "dataset",
    downloads: str | os.PathLike = ".cache/amazon2023",
    revision: str = REVISION,
    overwrite: bool = False,
    show_progress: bool = True,
) -> AmazonReport:
    """Write the data set `Amazon2023_<category>` to the folder `output`.

    Args:
        category: the source's name of it, such as `Video_Games`.
        source: a folder with the category's files; without it they are fetched from the hub.
        downloads: where fetched files are kept.
        revision: the commit of the hub's repository.

    Raises:
        UserError: files are missing, damaged, cut short, or something else; the hub can't be reached; the data set
            exists and may not be replaced.
        FileNotFoundError: there is no folder `source`.
    """
    if not category.replace("_", "").isalnum():
        raise UserError(f"--category [{category}] must be a name such as Video_Games.")
    name = dataset_name(category)
    folder = target_folder(Path(output), name, overwrite)
    if source is None:
        files = fetch_files(category, Path(downloads), revision, show_progress)
    else:
        files = find_files(Path(source), category)
    counts: dict[str, int] = {}
    frame = read_splits(files.splits, counts)
    interacted = frame["item_id"].cat.categories
    metadata = read_metadata(files.metadata, interacted, counts, show_progress)
    items = match_items(interacted, metadata, TEXT_FIELDS, files.metadata[0], counts)

    users, ids = (frame[field].cat.codes.to_numpy().astype(np.int64) for field in ("user_id", "item_id"))
    split = ByTime(
        Interactions(users, ids, frame["timestamp"].to_numpy(), interacted.to_numpy()),
        {"timestamp_split": list(SPLIT), "launch_holdout": None},
    )
    statistics = interaction_statistics(split)
    report = AmazonReport(folder, statistics, counts, published_statistics(name))
    with whole_folder(folder) as scratch:
        write_interactions(scratch / f"{name}.inter", frame)
        write_items(scratch / f"{name}.item", items, dict.fromkeys(LIST_FIELDS, "token_seq"))
        found = f"What `recbole-specgr prepare-amazon` found in Amazon Reviews 2023, {category}.\n{report.table}"
        write_properties(scratch / f"{name}.yaml", PROPERTIES | repeats_removed(counts), found)
    return report


def dataset_name(category: str) -> str:
    return f"Amazon2023_{category}"
