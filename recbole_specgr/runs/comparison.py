"""Which of a run's settings say what it is, and which only where and how it ran."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from recbole_specgr.settings.file_digests import FILE_DIGESTS
from recbole_specgr.settings.layer_files import property_files
from recbole_specgr.settings.older_runs import BEFORE_THE_SETTING
from recbole_specgr.settings.presets import look_up
from recbole_specgr.settings.schema import schema_beside

if TYPE_CHECKING:  # records are compared without torch
    from recbole_specgr.settings.config import Config

# Settings that change nothing about the model that comes out.
ENVIRONMENT = {
    "seed",
    "strict",
    "preset",  # what it sets stands in the settings themselves
    "gpu_id",
    "use_gpu",
    "worker",
    "state",
    "show_progress",
    "encoding",
    "data_path",
    "runs_path",
    "run_dir",
    "cache_path",
    "checkpoint_dir",
    "save_dataset",
    "save_dataloaders",
    "dataset_save_path",
    "dataloaders_save_path",
    "log_wandb",
    "wandb_project",
    "wait_minutes",
    "checkpoint_steps",
    "checkpoint_minutes",
    "accumulation_steps",
    "activation_checkpointing",
    "parallel",
    "profile",
    "published_statistics",
    "repeats_removed",  # which items are recommended by default after training, and nothing before
    "display_name",
    "group",
}
# Settings of evaluation: what stands under that heading in properties/overall.yaml, and what some models have of it.
EVALUATION = {
    *("eval_batch_size", "valid_rows", "unseen_history", "ranking_index", "repeatable", "mmr_weight", "mmr_pool"),
    *("metrics", "topk", "valid_metric", "metric_decimal_place", "tune", "tune_unseen_share", "decoding_precision"),
}
TRAINED_RUN = "trained_run"  # names the run whose training is taken over
SOURCE = "_run"  # settings of this ending name a trained run whose parameters are taken over
GROWING = "tokenizer"  # the group that gets new settings as tokenizers do; all other groups are compared as they are


def what_it_is(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that say what a run is; a file by its name, wherever it is, and by the digest of its content."""
    return {
        key: PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
        for key, value in settings.items()
        if key not in ENVIRONMENT and not key.endswith(SOURCE)
    }


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Two runs' settings differ in nothing but the seed and where they ran (`differences`)."""
    return not differences(one, other)


def alike_records(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Two records are of the same model: alike in their settings, and in those of the runs that they took parameters
    from, where both records name these. Records of version 0.1 do not."""
    return not differences_of_records(one, other)


def differences_of_records(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two records differ, and those of the runs that both took parameters from."""
    return differences(one["settings"], other["settings"]) | _differences_of_taken(one, other)


def _differences_of_taken(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which the runs differ that two records took parameters from, where both records name these:
    `drafter_run: epochs` -> both values. Of a `trained_run` how it was evaluated and tuned does not count, for a run
    takes its training alone."""
    found: dict[str, tuple[Any, Any]] = {}
    ours, theirs = one.get("taken", {}), other.get("taken", {})
    for run in sorted(ours.keys() & theirs.keys()):
        passed_over = EVALUATION if run == TRAINED_RUN else set()
        for name, values in differences(ours[run]["settings"], theirs[run]["settings"]).items():
            if name.partition(".")[0] not in passed_over:
                found[f"{run}: {name}"] = values
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two runs differ: name -> their two values. A member of a group has its dotted name.

    A setting that only one of them has came, or went, with another version of the package: it does not count, unless
    it is one of a class of the user's own, whose file declares it. Neither does what was tuned after training. A file
    is the same where its content is; of runs of earlier versions, which did not keep its digest, where its name is.
    The code of a class of the user's own counts where both runs have its digest.
    """
    one, other = ({**BEFORE_THE_SETTING, **what_it_is(settings)} for settings in (one, other))
    tuned = {*(one.get("tune") or {}), *(other.get("tune") or {})}
    found: dict[str, tuple[Any, Any]] = {}
    for key in one:
        if key in other and key not in tuned and not _equal(key, one[key], other[key]):
            found |= _parts(key, one[key], other[key])
    for key in sorted(_of_own_class(one, other) - tuned):
        found[key] = (one.get(key), other.get(key))
    return _by_content(found, one, other)


def _of_own_class(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """The settings that only one of two runs of a class of the user's own has, but for those that all models share."""
    if not all(":" in (settings.get("base") or "") for settings in (one, other)):
        return set()
    shared = schema_beside(property_files("overall")[0]).keys()
    return (one.keys() ^ other.keys()) - shared - {FILE_DIGESTS}


def _by_content(
    found: dict[str, tuple[Any, Any]], one: dict[str, Any], other: dict[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """What differs, where files of which both digests are known differ by these, and not by their names.

    Args:
        found: what differs by name.
        one, other: the settings of the two runs.
    """
    found = {key: values for key, values in found.items() if key.partition(".")[0] != FILE_DIGESTS}
    ones, others = one.get(FILE_DIGESTS) or {}, other.get(FILE_DIGESTS) or {}
    for key in sorted(ones.keys() & others.keys()):
        found.pop(key, None)
        if ones[key] != others[key]:
            found[key] = (_file(one, key), _file(other, key))
    return found


def _file(settings: dict[str, Any], key: str) -> str:
    return f"{look_up(settings, key)} (content {settings[FILE_DIGESTS][key][:8]})"


def would_be(theirs: dict[str, Any], config: Config) -> bool:
    """A run of the settings `theirs` is what a run of `config` would be, but for the seed and where they run.

    `config` has not seen the data yet. What follows from the data will be equal where the preset is.
    """
    follows = config.follows_data
    if follows and theirs.get("preset", BEFORE_THE_SETTING["preset"]) != config["preset"]:
        return False
    return not differences(theirs, config.to_dict()).keys() - follows


def sources(settings: dict[str, Any]) -> dict[str, Path]:
    """The trained runs whose parameters are taken over: the setting that names each, and its folder."""
    named = {key: value for key, value in settings.items() if key.endswith(SOURCE) and isinstance(value, str)}
    return {key: Path(value).resolve() for key, value in named.items()}


def _parts(key: str, one: Any, other: Any) -> dict[str, tuple[Any, Any]]:
    """What differs below a setting that differs."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return {key: (one, other)}
    found: dict[str, tuple[Any, Any]] = {}
    for name in [*one, *(name for name in other if name not in one)]:
        if one.get(name) != other.get(name):
            found |= _parts(f"{key}.{name}", one.get(name), other.get(name))
    return found


def changed(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that a run was begun with and would be gone on with, where they are not the same: both values of
    each. What only says where and how it runs may change. The runs that it was made of may not: seeds of one model are
    made of different ones, but each of them of its own."""
    one, other = ({**what_it_is(settings), "seed": settings["seed"]} for settings in (before, now))
    found = {key: (one[key], other[key]) for key in one.keys() & other.keys() if one[key] != other[key]}
    found = _by_content(found, one, other)
    ours, theirs = sources(before), sources(now)
    differing = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
    return found | {key: (before.get(key), now.get(key)) for key in differing}


def _equal(key: str, one: Any, other: Any) -> bool:
    if key == GROWING and isinstance(one, dict) and isinstance(other, dict):
        return all(_equal(key, one[name], other[name]) for name in one.keys() & other.keys())
    return bool(one == other)
