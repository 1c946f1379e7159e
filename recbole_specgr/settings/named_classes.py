"""What a setting names, other than a model -> its class: one of ours, or a user's own in `baselines/NAME.py`."""

import functools
import importlib
from dataclasses import dataclass
from typing import Any

from recbole_specgr.settings.class_files import classes_in_files, key_of, own_class
from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.result_keys import split_key
from recbole_specgr.system.errors import UserError, did_you_mean

NOT_OF_LISTS = ("gauc", "auc", "mae", "rmse", "logloss")  # RecBole's other metrics


@dataclass(frozen=True)
class Kind:
    """What a setting may name: classes of one kind, one a file.

    Attributes:
        setting: its name, for messages.
        package: where ours are.
        contract: what they all derive from, as `module:Class` with the module in the package.
        by_class: settings name them by their classes, otherwise by their files.
    """

    setting: str
    package: str
    contract: str
    by_class: bool = False


METRIC = Kind("metrics", "recbole_specgr.evaluation.metrics", "contract:Metric", by_class=True)
SPLIT = Kind("split", "recbole_specgr.data.splits", "contract:Split")
TOKENIZER = Kind("tokenizer.method", "recbole_specgr.semantic_ids.tokenizers", "contract:Tokenizer")


def split_class(name: str) -> Any:
    """The class that the setting `split` names. Raises what `_class_of_kind` raises."""
    return _class_of_kind(SPLIT, name)


def tokenizer_class(name: str) -> Any:
    """The class that the setting `tokenizer.method` names. Raises what `_class_of_kind` raises."""
    return _class_of_kind(TOKENIZER, name)


def metric_class(name: str) -> Any:
    """The class of a metric. Raises what `_class_of_kind` raises; a metric is named by its class alone, for records
    know it by this name."""
    if name.lower() in NOT_OF_LISTS:
        raise UserError(
            f"metrics: [{name}] needs the scores of all items, and models here return ranked lists. There are "
            f"{', '.join(names_of(METRIC))}."
        )
    if ":" in name:
        own = name.rpartition(":")[2]
        raise UserError(f"[metrics: {name}] must be the metric's class alone, {own}, in the file baselines/{own}.py.")
    return _class_of_kind(METRIC, name)


def bigger_is_better(valid_metric: str) -> bool:
    """Whether more of a `valid_metric`, such as `unseen_NDCG@50`, is better."""
    return not metric_class(split_key(valid_metric)[1]).smaller


def names_of(kind: Kind) -> list[str]:
    """The names of our own classes of the kind, as settings have them."""
    found = _classes_of_kind(kind).values()
    return sorted(name if kind.by_class else module.rpartition(".")[2] for module, name in found)


def is_ours(kind: Kind, name: str) -> bool:
    """Whether the name stands for one of our own classes of the kind."""
    return key_of(name) in _classes_of_kind(kind)


def _class_of_kind(kind: Kind, name: str) -> Any:
    """One of our own classes of the kind, or the class NAME of the file `NAME.py` in a baselines folder, or
    `module:Class` with the module in such a folder or importable.

    Raises:
        UserError: there is none, with near names, or it does not derive from the kind's contract.
    """
    name, ours = str(name), _classes_of_kind(kind)
    if key_of(name) in ours:
        module, class_name = ours[key_of(name)]
        return getattr(importlib.import_module(module), class_name)
    named_by = f"[{kind.setting}: {name}]"
    files = {key_of(path.stem): path.stem for folder in folders("baselines") for path in folder.glob("*.py")}
    if ":" not in name and key_of(name) not in files:
        known = names_of(kind)
        raise UserError(
            f"There is no {named_by}.{did_you_mean(name, known)} There are {', '.join(known)}; one of your own is a "
            f"class in a file of its name, baselines/{name}.py."
        )
    found = own_class(name if ":" in name else f"{files[key_of(name)]}:{files[key_of(name)]}", named_by)
    module, _, class_name = kind.contract.partition(":")
    if not issubclass(found, getattr(importlib.import_module(f"{kind.package}.{module}"), class_name)):
        raise UserError(f"{named_by}: {found.__name__} does not derive from {kind.package}.{module}.{class_name}.")
    return found


@functools.cache
def _classes_of_kind(kind: Kind) -> dict[str, tuple[str, str]]:
    """key -> (module, class name) of our own. The underscores of a file's name need not be in the class's."""
    found = classes_in_files(kind.package)
    return {key_of(file): (f"{kind.package}.{file}", name) for file, name in found if key_of(file) == key_of(name)}
