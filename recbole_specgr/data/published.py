"""The statistics that a paper prints of a data set, beside those of the data that was prepared."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping

_PRINTED = 0.1  # one unit of the last digit that is printed, rounded or cut


def published_statistics(dataset: str) -> dict[str, Any] | None:
    """`published_statistics` of the data set's property file, if it has one."""
    found = None
    for folder in folders("properties"):
        path = folder / "dataset" / f"{dataset}.yaml"
        found = (read_mapping(path).get("published_statistics") if path.is_file() else None) or found
    return found


def published_table(found: dict[str, Any], published: dict[str, Any] | None) -> str | None:
    """One row a published number: what was published, what was found, and whether they agree as printed.

    Args:
        found: of `interaction_statistics`.
        published: `source`, and counts in thousands (`items`, `train_targets`, `valid_targets`, `test_targets`) and
            shares in per cent (`new_items` of the items, `valid_unseen` and `test_unseen` of the targets).
    """
    if not published:
        return None
    ours = {
        "items": found["items"] / 1000,
        "new_items": 100 * (1 - found["seen_items"] / found["items"]),
        **{f"{phase}_targets": found[f"{phase}_targets"] / 1000 for phase in ("train", "valid", "test")},
        **{f"{phase}_unseen": _percent(found[f"{phase}_unseen_share"]) for phase in ("valid", "test")},
    }
    units = {"new_items": "%", "valid_unseen": "%", "test_unseen": "%"}
    rows = [
        (
            f"{key.replace('_', ' ')} ({units.get(key, 'thousands')})",
            f"{value:.1f}",
            "none" if ours[key] is None else f"{ours[key]:.1f}",
            "" if ours[key] is not None and abs(ours[key] - value) < _PRINTED else "differs",
        )
        for key, value in published.items()
        if key in ours
    ]
    agree = sum(not row[-1] for row in rows)
    table = tabulate(rows, headers=("", published["source"], "here", ""), disable_numparse=True)
    return f"{table}\n{agree} of {len(rows)} published numbers agree."


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
