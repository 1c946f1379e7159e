"""What a data set holds and how much of what it asks for is new: the table that importing prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from recbole_specgr.data.split import PHASES, first_times, readable_time, time_unit

if TYPE_CHECKING:
    from recbole_specgr.data.dataset import InductiveDataset


def interaction_statistics(
    users: np.ndarray, items: np.ndarray, times: np.ndarray, split_times: tuple[int, int]
) -> dict[str, Any]:
    """Counts, time range, and per phase the number of targets and the share of them that is unseen.

    Args:
        users, items, times: integers [N], one interaction each, in the order of the file (which breaks ties).
        split_times: t_valid, t_test.

    Returns:
        users, items, seen_items (that occur in train), interactions, first_time, last_time, time_unit, split_times,
        and for each phase `<phase>_interactions`, `<phase>_targets` (interactions with an earlier one by the same
        user), and for valid and test `<phase>_unseen_share` (of the targets, whose item does not occur in train; None
        without targets).
    """
    order = np.lexsort((times, users))
    users, items, times = users[order], items[order], times[order]
    target = np.r_[False, users[1:] == users[:-1]]
    phase = np.searchsorted(np.asarray(split_times), times, side="right")
    first = first_times(items, times, int(items.max()) + 1)
    unseen = first[items] >= split_times[0]
    found: dict[str, Any] = {
        "users": len(np.unique(users)),
        "items": len(np.unique(items)),
        "seen_items": int((first < split_times[0]).sum()),
        "interactions": len(users),
        "first_time": int(times.min()),
        "last_time": int(times.max()),
        "time_unit": time_unit(times),
        "split_times": tuple(split_times),
    }
    for number, name in enumerate(PHASES):
        rows = target & (phase == number)
        found[f"{name}_interactions"] = int((phase == number).sum())
        found[f"{name}_targets"] = int(rows.sum())
        if name != "train":
            found[f"{name}_unseen_share"] = float(unseen[rows].mean()) if rows.any() else None
    return found


def dataset_statistics(dataset: InductiveDataset) -> dict[str, Any]:
    """`interaction_statistics` of a loaded data set, after its filters and its `launch_holdout`."""
    users, items, times = dataset.interactions
    return interaction_statistics(users, items, times, dataset.split_times)


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
    rows += [(name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in (more or {}).items()]
    return tabulate(rows, tablefmt="simple", disable_numparse=True, colalign=("left", "right"))


def _percent(share: float | None) -> str:
    return "no targets" if share is None else f"{100 * share:.1f} %"
