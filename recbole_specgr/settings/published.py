"""Results that others have published, as baseline files keep them: by data set, by split, each with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_specgr.settings.named_classes import METRIC, is_ours, metric_class, split_class
from recbole_specgr.settings.result_keys import split_key
from recbole_specgr.system.errors import UserError

EXAMPLE = "{amazon_beauty_2014: {leave_one_out: [{source: A. Author et al. 2024 Table 1, recall@10: 0.02}]}}"


@dataclass(frozen=True)
class Published:
    """Results of a model.

    Attributes:
        dataset: our name of the data set.
        split: the value of the setting `split` that is theirs.
        source: paper and table, or repository and commit, with what else one has to know.
        results: result key, as in our records -> value.
    """

    dataset: str
    split: str
    source: str
    results: dict[str, float]


def read_published(given: Any, file: Path) -> tuple[Published, ...]:
    """What stands under `published` in a baseline file.

    Raises:
        UserError: it is anything else; a split or a metric that there is not; a share that is given in per cent.
    """
    try:
        found = tuple(_entries(given))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"`published` of {file} must map data sets to splits to lists of results with a source, such as {EXAMPLE}."
        ) from error
    for entry in found:
        try:
            _check(entry)
        except UserError as error:
            raise UserError(f"`published` of {file}, {entry.dataset}, {entry.split}: {error}") from error
    return found


def _check(entry: Published) -> None:
    split_class(entry.split)
    for key, value in entry.results.items():
        part, metric, k = split_key(key)
        known = metric_class(metric)
        if key != f"{part}{known.name()}@{k}":
            raise UserError(f"[{key}] is written as in our results: [{part}{known.name()}@{k}].")
        if is_ours(METRIC, metric) and known.averaged and not known.smaller and not 0 <= value <= 1:
            raise UserError(f"[{key}: {value}] must be a share between 0 and 1, as in our results.")


def _entries(given: Any) -> Iterator[Published]:
    for dataset, splits in given.items():
        for split, entries in splits.items():
            for entry in entries:
                results = {key: value for key, value in entry.items() if key != "source"}
                numbers = all("@" in key and type(value) in (int, float) for key, value in results.items())
                if not isinstance(entry["source"], str) or not results or not numbers:
                    raise ValueError(entry)
                yield Published(dataset, split, entry["source"], results)
