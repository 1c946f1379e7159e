"""A run whose parameters another run has trained: `trained_run`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.comparison import EVALUATION, GROWING, differences, what_it_is
from recbole_specgr.runs.folder import CONFIG, read_settings
from recbole_specgr.runs.record import RESULT
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.file_digests import FILE_DIGESTS
from recbole_specgr.settings.presets import dotted, is_given, look_up
from recbole_specgr.system.errors import UserError

# What a run is called: settings of the training are those of one model on one data set.
NAMES = {"model", "base", "base_model", "dataset"}


def settings_of_training(config: Config) -> dict[str, Any]:
    """The settings, by dotted names, that a new run has from the run that `trained_run` names: all of those but of
    evaluation and environment that neither the user nor the baseline's own file gives, and the seed.

    Settings of inference are among them, for only the model knows which these are: `use_own_inference` gives them back.

    Args:
        config: of the new run, without them.

    Returns:
        None of them where no run is named, or one that `building` refuses: one of another model or data set.
    """
    ours = config.to_dict()
    run = Path(ours["trained_run"] or "")
    if not ours["trained_run"] or not (run / CONFIG).is_file():
        return {}
    theirs = read_settings(run)
    if ours["base_model"] not in (theirs["model"], theirs["base_model"]) or ours["dataset"] != theirs["dataset"]:
        return {}
    kept = (what_it_is(theirs).keys() | {"seed"}) & ours.keys() - EVALUATION - NAMES - {FILE_DIGESTS}
    # Tokenizers get new settings and lose old ones; those of the run's own tokenizer are what counts.
    methods, known = {look_up(theirs, "tokenizer.method")}, dotted({GROWING: ours[GROWING]})
    given, found = config.chosen(), {}
    for name in dotted({key: theirs[key] for key in theirs if key in kept}):
        group, _, rest = name.partition(".")
        there = group != GROWING or name in known or rest.partition(".")[0] in methods
        if there and not is_given(name, given):
            found[name] = look_up(theirs, name)
    return found


def use_own_inference(config: Config, model: Any) -> None:
    """Let a model whose parameters another run has trained have its own settings of inference where nobody gives them,
    and not that run's.

    Args:
        config: its settings, with what `settings_of_training` found.
    """
    if own := config.give_back(model.decoding):
        model.change_decoding(own)


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
            f"[trained_run: {run}] was trained with other settings than this run has: {values}. Give them as they "
            f"are there, or not at all: what is not given is taken from that run. To train, leave [trained_run] out."
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
