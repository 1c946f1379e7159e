"""Whether a run was trained to its end, or might have become better with more epochs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def improving_stages(record: dict[str, Any]) -> list[str]:
    """The stages of a record that might have become better with more epochs.

    Records from before that was written down have one if its last epoch was its best.
    """
    return [name for name, stage in record["training"].items() if _improving(stage)]


def remark(record: dict[str, Any], options: Mapping[str, str] = MappingProxyType({})) -> str:
    """The sentence for the end of a run that was not trained out; "" for one that was.

    Args:
        options: stage -> the setting that says how many epochs it may have, where that is not `epochs`.
    """
    said, more = [], []
    for name in improving_stages(record):
        stage = record["training"][name]
        ended = "the limit ended it" if stage["stopped"] == "limit" else "early stopping ended it"
        said.append(f"stage {name}: best at epoch {stage['best_epoch']} of {stage['epochs']}, {ended}")
        more.append(f"--{options.get(name, 'epochs')}")
    more = list(dict.fromkeys(more))  # several stages may have the same
    return f"Not trained out ({'; '.join(said)}): more {' and '.join(more)} might help." if said else ""


def _improving(stage: dict[str, Any]) -> bool:
    if "improving" in stage:
        return bool(stage["improving"])
    return bool(stage["epochs"]) and stage["best_epoch"] == stage["epochs"]
