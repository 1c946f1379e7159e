"""Checks of settings, alone and against model and data set, before anything is loaded."""

import re
from pathlib import Path
from typing import Any

from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType

from recbole_specgr.evaluation.evaluator import SUBSETS, check_metrics
from recbole_specgr.settings.presets import PRESETS
from recbole_specgr.system.errors import UserError

FROM_ONE = ("train_batch_size", "eval_batch_size", "MAX_ITEM_LIST_LENGTH", "accumulation_steps")
FROM_ZERO = ("seed", "epochs", "eval_step", "stopping_step")
CHOSEN = {
    "preset": PRESETS,
    "train_on": ("rows", "windows"),
    "schedule": ("cosine", "constant", "plateau"),
    "precision": ("fp32", "bf16", "fp16"),
    "decoding_precision": ("fp32", "bf16"),
    "parallel": ("ddp", "fsdp"),
    "unseen_history": ("keep", "drop"),
    "text_cleaning": ("unicode", "ascii"),
}


def check_values(settings: dict[str, Any]) -> None:
    """Raise UserError for a count, a list length, a metric or a precision that can't be.

    `metrics` and `topk` become lists.
    """
    _check_numbers(settings)
    for stage, overrides in settings["stages"].items():
        _check_stage_name(stage)
        _check_numbers(overrides, f"stages.{stage}.")
    _check_topk(settings)
    _check_metrics(settings)


def check_model_class(name: str, model_class: type) -> None:
    """Raise UserError when the protocol can't be run with it (RecBole's DIN predicts clicks, BPR no sequence)."""
    if model_class.type != ModelType.SEQUENTIAL:
        raise UserError(f"[{name}] is not a sequential model; the inductive protocol needs one that reads histories.")
    scores = model_class.full_sort_predict is not AbstractRecommender.full_sort_predict
    if not scores and "full_sort_topk" not in dir(model_class):
        raise UserError(f"[{name}] can't rank all items: it has neither full_sort_predict nor full_sort_topk.")


def check_extra_files(settings: dict[str, Any], folder: Path) -> None:
    """Raise UserError when the model reads a file that the data set doesn't have (GRU4RecKG's entity embeddings)."""
    suffixes = settings.get("additional_feat_suffix") or []
    for suffix in [suffixes] if isinstance(suffixes, str) else suffixes:
        file = folder / f"{settings['dataset']}.{suffix}"
        if not file.is_file():
            raise UserError(f"[{settings['model']}] needs the file {file}, which does not exist.")


def check_item_columns(settings: dict[str, Any], keys: set[str]) -> None:
    """Raise UserError when a setting that names an item column, one of `keys`, is empty or names one not loaded."""
    columns = (settings.get("load_col") or {}).get("item")
    dataset = settings["dataset"]
    for key in sorted(keys):
        wanted = settings[key] if isinstance(settings[key], list) else [settings[key]]
        loaded = f"The item columns loaded for [{dataset}] are {', '.join(columns or ['none'])}."
        if not wanted or None in wanted:
            raise UserError(
                f"[{settings['model']}] uses an item column, and [{dataset}] doesn't say which: give --{key}=COLUMN or "
                f"a line `{key}: COLUMN` in the data set's file. {loaded}"
            )
        for column in wanted:
            if columns is not None and column not in columns:
                raise UserError(f"[{key}]: there is no item column [{column}]. {loaded}")


def without_subset(valid_metric: str) -> str:
    """`unseen_Recall@50` -> `recall@50`."""
    name = str(valid_metric).lower()
    for subset in SUBSETS:
        name = name.removeprefix(f"{subset}_")
    return name


def _check_stage_name(name: Any) -> None:
    """A stage's checkpoint is the file `<name>.pth` of the run's folder."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", str(name), re.ASCII) or str(name) == "last":
        raise UserError(
            f"[stages.{name}]: a stage names a file of the run's folder, so it must be of letters, digits, _ and -, "
            f"and not [last]."
        )


def _check_numbers(settings: dict[str, Any], prefix: str = "") -> None:
    for keys, least in ((FROM_ONE, 1), (FROM_ZERO, 0)):
        for key in keys:
            if key in settings and (not isinstance(settings[key], int) or settings[key] < least):
                raise UserError(f"[{prefix}{key}] must be a whole number from {least}, but is [{settings[key]}].")
    if "learning_rate" in settings and not (settings["learning_rate"] or 0) > 0:
        raise UserError(f"[{prefix}learning_rate] must be above 0, but is [{settings['learning_rate']}].")
    for key, choices in CHOSEN.items():
        if key in settings and settings[key] not in choices:
            raise UserError(f"[{prefix}{key}] must be {' or '.join(choices)}, but is [{settings[key]}].")
    for key, kinds in (("checkpoint_steps", int), ("checkpoint_minutes", int | float)):
        value = settings.get(key)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool) or value < 0):
            what = "a whole number" if kinds is int else "a number"
            raise UserError(f"[{prefix}{key}] must be {what} from 0, or ~, but is [{value}].")


def _check_topk(settings: dict[str, Any]) -> None:
    topk = settings["topk"] if isinstance(settings["topk"], list) else [settings["topk"]]
    if not topk or any(isinstance(k, bool) or not isinstance(k, int) or k < 1 for k in topk):
        raise UserError(f"[topk] must be whole numbers from 1, such as [10, 50], but is [{settings['topk']}].")
    settings["topk"] = topk


def _check_metrics(settings: dict[str, Any]) -> None:
    metrics = settings["metrics"] if isinstance(settings["metrics"], list) else [settings["metrics"]]
    settings["metrics"] = [str(metric) for metric in metrics]
    check_metrics(settings["metrics"])
    keys = [f"{metric}@{k}" for metric in settings["metrics"] for k in settings["topk"]]
    if without_subset(settings["valid_metric"]) not in [key.lower() for key in keys]:
        raise UserError(
            f"[valid_metric: {settings['valid_metric']}] is not among the results: {', '.join(keys)}, each also with "
            f"{' or '.join(f'{subset}_' for subset in SUBSETS)} before it. [metrics] and [topk] say what is measured."
        )
