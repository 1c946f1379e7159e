"""A run whose parameters another run has trained: `trained_run`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.comparison import EVALUATION, differences
from recbole_specgr.runs.folder import read_settings
from recbole_specgr.runs.record import RESULT
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


def check_trained_alike(config: Config, inference: Iterable[str]) -> None:
    """Raise UserError where `config` would have trained otherwise than the run that `trained_run` names.

    Args:
        inference: the names of the model's settings of inference, which may be others.
    """
    run, ours = config["trained_run"], config.to_dict()
    # Two baselines may be one model with other settings of inference.
    theirs, free = read_settings(Path(run)), EVALUATION.union(inference, ("model", "base"))
    found = differences(theirs, ours)
    if theirs["seed"] != ours["seed"]:
        found["seed"] = (theirs["seed"], ours["seed"])
    for key in ours.keys() & theirs.keys() - free:
        config[key]  # who repeats a setting of the training has not given what nothing reads
    differing = {key: values for key, values in found.items() if key.partition(".")[0] not in free}
    if differing:
        values = "; ".join(f"[{key}] is {ours}, there it is {theirs}" for key, (theirs, ours) in differing.items())
        raise UserError(
            f"[trained_run: {run}] was trained with other settings than this run has: {values}. Give the settings that "
            f"it was trained with, or leave [trained_run] out to train."
        )


def training_of(run: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the training, and the most memory, from the run that was trained.

    Args:
        record: of the run that took its parameters.
    """
    theirs = read_record(run / RESULT)
    memory = [one["peak_memory_mb"] for one in (theirs, record)]
    most = {kind: max(one.get(kind, 0.0) for one in memory) for kind in {**memory[0], **memory[1]}}
    return {"training": theirs["training"], "peak_memory_mb": most}
