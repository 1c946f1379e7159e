"""What a data set holds and how much of what it asks for is new: the table that importing prints."""

from __future__ import annotations

from typing import Any

import numpy as np
from tabulate import tabulate

from recbole_specgr.data.splits.contract import PHASES, Split
from recbole_specgr.data.times import readable_time, time_unit


def interaction_statistics(split: Split) -> dict[str, Any]:
    """Counts, time range, and per phase the number of targets and the share of them that is unseen.

    Returns:
        users, items, seen_items (that occur in train), interactions, first_time, last_time, time_unit; the `facts` of
        the split (by time the two `split_times`, and the `expected_unseen_share` of test or None); for each phase
        `<phase>_interactions` and `<phase>_targets`, and for valid and test `<phase>_unseen_share` (of the targets,
        whose item does not occur in train; None without targets).
    """
    unseen = ~split.seen[split.items]
    found: dict[str, Any] = {
        "users": len(np.unique(split.users)),
        "items": len(np.unique(split.items)),
        "seen_items": int(split.seen.sum()),
        "interactions": len(split.users),
        "first_time": int(split.times.min()),
        "last_time": int(split.times.max()),
        "time_unit": time_unit(split.times),
        **split.facts,
    }
    for number, name in enumerate(PHASES):
        inside = split.phases == number
        targets = split.targets & inside
        found[f"{name}_interactions"] = int(inside.sum())
        found[f"{name}_targets"] = int(targets.sum())
        if name != "train":
            found[f"{name}_unseen_share"] = float(unseen[targets].mean()) if targets.any() else None
    return found


def statistics_table(found: dict[str, Any], split: str, more: dict[str, Any] | None = None) -> str:
    """The statistics as a two-column text table; `split` is how the cuts were set, `more` are rows to add."""
    unit = found["time_unit"]
    rows: list[tuple[str, str]] = [(name, f"{found[name]:,}") for name in ("users", "items", "interactions")]
    rows += [("items that are new after train", _percent(1 - found["seen_items"] / found["items"]))]
    rows += [
        ("first interaction", readable_time(found["first_time"], unit)),
        ("last interaction", readable_time(found["last_time"], unit)),
        ("time unit", unit),
        (f"valid from ({split})", readable_time(found["split_times"][0], unit)),
        (f"test from ({split})", readable_time(found["split_times"][1], unit)),
        ("targets train / valid / test", " / ".join(f"{found[f'{phase}_targets']:,}" for phase in PHASES)),
        ("unseen targets valid / test", " / ".join(_percent(found[f"{phase}_unseen_share"]) for phase in PHASES[1:])),
    ]
    if found.get("expected_unseen_share") is not None:
        rows += [("unseen targets, to be expected in test", _percent(found["expected_unseen_share"]))]
    rows += [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in (more or {}).items()]
    return tabulate(rows, tablefmt="simple", disable_numparse=True, colalign=("left", "right"))


def _percent(share: float | None) -> str:
    return "no targets" if share is None else f"{100 * share:.1f} %"
