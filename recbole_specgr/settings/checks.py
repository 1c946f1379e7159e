"""Checks of settings, alone and against model and data set, before anything is loaded."""

import codecs
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType

from recbole_specgr.settings.named_classes import metric_class
from recbole_specgr.settings.result_keys import PARTS, split_key
from recbole_specgr.system.errors import UserError

# A run is measured in one way, whatever stage it is in: its validation and its test compare.
OF_THE_WHOLE_RUN = (
    *("topk", "metrics", "metric_decimal_place", "eval_batch_size", "unseen_history", "repeatable"),
    *("valid_rows", "seed", "tune", "tune_unseen_share"),
)


# RecBole's transforms of a batch -> the setting that each reads, which only a model made for it has.
TRANSFORMS = {"mask_itemseq": "mask_ratio", "crop_itemseq": "eta", "reorder_itemseq": "beta"}


def check_values(settings: dict[str, Any]) -> None:
    """Raise UserError for a stage that can't name a file or that sets what is the whole run's, a transform that the
    model can't read, a metric that there is not, or a `valid_metric` that is not measured. `metrics` and `topk` become
    lists in which nothing stands twice."""
    for stage in settings["stages"]:
        _check_stage_name(stage)
    wanted = TRANSFORMS.get(settings.get("transform") or "")
    if wanted is not None and settings.get(wanted) is None:
        raise UserError(
            f"[transform: {settings['transform']}] needs the setting [{wanted}], which [{settings['model']}] does not "
            f"have: the transform is for a model that reads what it makes. Leave it out."
        )
    settings["topk"] = list(dict.fromkeys(_listed(settings["topk"])))
    _check_metrics(settings)
    _check_valid_metric("valid_metric", settings["valid_metric"], settings)
    for stage, own in settings["stages"].items():
        for key in OF_THE_WHOLE_RUN:
            if key in own:
                raise UserError(
                    f"[stages.{stage}.{key}]: a stage has no [{key}] of its own, for it says how the whole run is "
                    f"measured. Set [{key}]."
                )
        if "valid_metric" in own:
            _check_valid_metric(f"stages.{stage}.valid_metric", own["valid_metric"], settings)


def check_model_class(name: str, model_class: type[AbstractRecommender]) -> None:
    """Raise UserError when the protocol can't be run with it (RecBole's DIN predicts clicks, BPR no sequence)."""
    if not issubclass(model_class, AbstractRecommender):
        raise UserError(
            f"[{name}]: its class {model_class.__name__} derives from none of RecBole's models. Derive it from "
            f"recbole.model.abstract_recommender.SequentialRecommender."
        )
    if model_class.type != ModelType.SEQUENTIAL:
        raise UserError(f"[{name}] is not a sequential model; the inductive protocol needs one that reads histories.")
    scores = model_class.full_sort_predict is not AbstractRecommender.full_sort_predict
    if not scores and "full_sort_topk" not in dir(model_class):
        raise UserError(f"[{name}] can't rank all items: it has neither full_sort_predict nor full_sort_topk.")


def check_reading(settings: dict[str, Any]) -> None:
    """Raise UserError when no data set could be read so: an encoding that Python does not know, an interval that is
    none, or columns of users, items and times that are not loaded; and when the log is to go to a library that is not
    installed."""
    try:
        codecs.lookup(settings["encoding"])
    except LookupError as error:
        raise UserError(
            f"[encoding: {settings['encoding']}]: Python knows no such encoding. Usual is utf-8."
        ) from error
    for key in ("user_inter_num_interval", "item_inter_num_interval"):
        _check_interval(key, settings[key])
    for column, values in (settings["val_interval"] or {}).items():
        if not isinstance(values, list):
            _check_interval(f"val_interval.{column}", values)
    load_col = settings.get("load_col")
    columns = None if load_col is None else load_col.get("inter")
    if load_col is not None and columns is None:
        raise UserError(
            f"[load_col: {load_col}] loads no column of interactions. Name them, such as "
            "{inter: [user_id, item_id, timestamp]}, or give ~ for all columns of all files."
        )
    for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"):
        if columns is not None and settings[key] not in columns:
            loaded = ", ".join(map(str, columns))
            raise UserError(f"[{key}] is [{settings[key]}], but the columns loaded are {loaded}: [load_col.inter].")
    if settings.get("log_wandb") and find_spec("wandb") is None:
        raise UserError("[log_wandb] needs the library wandb: pip install wandb")


def check_extra_files(settings: dict[str, Any], folder: Path) -> None:
    """Raise UserError when the model reads a file that the data set doesn't have (GRU4RecKG's entity embeddings)."""
    for suffix in _listed(settings.get("additional_feat_suffix") or []):
        file = folder / f"{settings['dataset']}.{suffix}"
        if not file.is_file():
            raise UserError(f"[{settings['model']}] needs the file {file}, which does not exist.")


def check_item_columns(settings: dict[str, Any], keys: set[str]) -> None:
    """Raise UserError when a setting that names an item column, one of `keys`, is empty or names one not loaded."""
    columns = (settings.get("load_col") or {}).get("item")
    dataset = settings["dataset"]
    for key in sorted(keys):
        wanted = _listed(settings[key])
        loaded = f"The item columns loaded for [{dataset}] are {', '.join(columns or ['none'])}."
        if not wanted or None in wanted:
            raise UserError(
                f"[{settings['model']}] uses an item column, and [{dataset}] doesn't say which: give --{key}=COLUMN or "
                f"a line `{key}: COLUMN` in the data set's file. {loaded}"
            )
        for column in wanted:
            if columns is not None and column not in columns:
                raise UserError(f"[{key}]: there is no item column [{column}]. {loaded}")


def _check_interval(name: str, value: Any) -> None:
    """RecBole passes over an interval that it can't read, and would keep everything."""
    for part in str(value).split(";") if value is not None else ():
        found = re.fullmatch(r"\s*[\[(]([^,]+),([^,]+)[\])]\s*", part)
        try:
            ascending = found is not None and float(found[1]) <= float(found[2])
        except ValueError:
            ascending = False
        if not ascending:
            raise UserError(
                f"[{name}: {value}] must be intervals such as [5,inf) or [1,4];[8,9]: two ascending numbers each, with "
                f"[ or ] where the end belongs to it, ( or ) where not, and ; between several."
            )


def _listed(value: Any) -> list[Any]:
    """A setting that may be a list or its only entry, as a list."""
    return value if isinstance(value, list) else [value]


def _check_stage_name(name: Any) -> None:
    """A stage's checkpoint is the file `<name>.pth` of the run's folder."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", str(name), re.ASCII) or str(name) == "last":
        raise UserError(
            f"[stages.{name}]: a stage names a file of the run's folder, so it must be of letters, digits, _ and -, "
            f"and not [last]."
        )


def _check_metrics(settings: dict[str, Any]) -> None:
    names: dict[str, str] = {}
    for name in map(str, _listed(settings["metrics"])):
        metric = metric_class(name)
        names.setdefault(metric.name(), name if name.lower() == metric.name() else metric.title())
    settings["metrics"] = list(names.values())


def _check_valid_metric(name: str, value: str, settings: dict[str, Any]) -> None:
    keys = [f"{metric}@{k}" for metric in settings["metrics"] for k in settings["topk"]]
    _, metric, k = split_key(value)
    if f"{metric}@{k}" not in [key.lower() for key in keys]:
        raise UserError(
            f"[{name}: {value}] is not among the results: {', '.join(keys)}, each also with "
            f"{' or '.join(part for part in PARTS if part)} before it. [metrics] and [topk] say what is measured."
        )
