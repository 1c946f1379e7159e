"""Name -> class, by RecBole's own convention: the file `<name lower>.py` holds the class `<Name>`.

A model's name is looked for among the baseline files, our models, and RecBole's sequential models, in this order. What
else a setting may name, such as a tokenizer, is a `Kind`: it is looked for in a package of ours, and then in a user's
`baselines/NAME.py`. Case, hyphens and underscores don't matter, and `++` or `PlusPlus` is `PP`: SpecGR++, specgrpp and
SpecGRPlusPlus are `SpecGRPP`.
"""

import functools
import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from recbole_specgr.settings.published import Published, read_published
from recbole_specgr.settings.resources import folders, package_folder
from recbole_specgr.settings.schema import checked, read_schema
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError, did_you_mean

OURS = "recbole_specgr.models"
RECBOLE = "recbole.model.sequential_recommender"
RECBOLE_OTHERS = tuple(
    f"recbole.model.{kind}_recommender" for kind in ("general", "context_aware", "knowledge_aware", "exlib")
)

GROUPS = ("ID", "feature + ID", "modality", "generative", "ours")
NOT_OF_LISTS = ("gauc", "auc", "mae", "rmse", "logloss")  # RecBole's other metrics
METADATA = ("display_name", "group", "published")  # keys of a baseline file that are no settings


@dataclass(frozen=True)
class Kind:
    """What a setting other than the model's name may name: classes of one kind, one a file.

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


@dataclass(frozen=True)
class ModelEntry:
    """What a model's name stands for.

    Attributes:
        name: the canonical name (a baseline's own).
        model_class: the class that is built.
        baseline: the baseline's settings without `base` and metadata; empty for a registered model.
        baseline_file: where they were read from; None for a registered model.
        base: the baseline's `base`, as it is written there; None for a registered model.
        display_name: how tables call it; None: by its name.
        group: what kind of model it is, one of GROUPS, or None.
        published: results that others have published.
    """

    name: str
    model_class: type
    baseline: dict[str, Any]
    baseline_file: Path | None = None
    base: str | None = None
    display_name: str | None = None
    group: str | None = None
    published: tuple[Published, ...] = ()


def get_model(name: str) -> type:
    """The class that `name` stands for. Raises UserError, with near names, when there is none."""
    return resolve(name).model_class


def list_models() -> dict[str, list[str]]:
    """Every name `--model` takes, by where it comes from: baselines, recbole_specgr, recbole."""
    return {
        "baselines": sorted(path.stem for path in _baseline_files().values()),
        "recbole_specgr": sorted(name for _, name in _classes(OURS).values()),
        "recbole": sorted(name for _, name in _classes(RECBOLE).values()),
    }


def resolve(name: str) -> ModelEntry:
    """Everything that a model's name stands for.

    Raises:
        UserError: no such model; a baseline file without a usable `base`.
    """
    file = _baseline_files().get(_key(name))
    if file is None:
        model_class = _registered(name)
        return ModelEntry(model_class.__name__, model_class, {})
    settings = read_mapping(file)
    base = settings.pop("base", None)
    if not isinstance(base, str):
        raise UserError(f"{file} needs a line `base: NAME` (a registered model) or `base: module:Class`.")
    metadata = {key: settings.pop(key) for key in METADATA if key in settings}
    declared = read_schema(folders("properties")[0] / "baseline.schema.json")
    for key in metadata.keys() & {"display_name", "group"}:
        checked(key, metadata[key], declared[key], str(file))
    metadata["published"] = read_published(metadata.get("published", {}), file)
    return ModelEntry(file.stem, base_class(base, file), settings, file, base, **metadata)


def base_class(base: str, source: Path | str) -> type:
    """The class that `base` names: a registered model, or `module:Class` with the module beside a baseline file or
    importable. `source` is named in errors."""
    if ":" not in base:
        return _registered(base, f" (`base` of {source})")
    return _own_class(base, f"`base: {base}` of {source}")


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


def names_of(kind: Kind) -> list[str]:
    """The names of our own classes of the kind, as settings have them."""
    found = _classes_of_kind(kind).values()
    return sorted(name if kind.by_class else module.rpartition(".")[2] for module, name in found)


def is_ours(kind: Kind, name: str) -> bool:
    """Whether the name stands for one of our own classes of the kind."""
    return _key(name) in _classes_of_kind(kind)


def _class_of_kind(kind: Kind, name: str) -> Any:
    """One of our own classes of the kind, or the class NAME of the file `NAME.py` in a baselines folder, or
    `module:Class` with the module in such a folder or importable.

    Raises:
        UserError: there is none, with near names, or it does not derive from the kind's contract.
    """
    name, ours = str(name), _classes_of_kind(kind)
    if _key(name) in ours:
        module, class_name = ours[_key(name)]
        return getattr(importlib.import_module(module), class_name)
    named_by = f"[{kind.setting}: {name}]"
    files = {_key(path.stem): path.stem for folder in folders("baselines") for path in folder.glob("*.py")}
    if ":" not in name and _key(name) not in files:
        known = names_of(kind)
        raise UserError(
            f"There is no {named_by}.{did_you_mean(name, known)} There are {', '.join(known)}; one of your own is a "
            f"class in a file of its name, baselines/{name}.py."
        )
    found = _own_class(name if ":" in name else f"{files[_key(name)]}:{files[_key(name)]}", named_by)
    module, _, class_name = kind.contract.partition(":")
    if not issubclass(found, getattr(importlib.import_module(f"{kind.package}.{module}"), class_name)):
        raise UserError(f"{named_by}: {found.__name__} does not derive from {kind.package}.{module}.{class_name}.")
    return found


def _own_class(path: str, named_by: str) -> type:
    """The class `module:Class`. `named_by` says what names it, for errors."""
    module_name, _, class_name = path.partition(":")
    try:
        module = _baseline_module(module_name) or importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"{named_by}: {error}.") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise UserError(f"{named_by}: {module.__file__} has no class {class_name}.")
    return found


def _registered(name: str, where: str = "") -> type:
    for package in (OURS, RECBOLE):
        if _key(name) in _classes(package):
            module, class_name = _classes(package)[_key(name)]
            return getattr(importlib.import_module(module), class_name)
    if any(_key(name) in _classes(package) for package in RECBOLE_OTHERS):
        raise UserError(
            f"RecBole's [{name}]{where} is not a sequential model; the inductive protocol needs one that reads the "
            f"user's history."
        )
    known = [known for names in list_models().values() for known in names]
    raise UserError(f"There is no model [{name}]{where}.{did_you_mean(name, known)} --list-models shows them all.")


def _key(name: str) -> str:
    """What is compared: SpecGR++, specgr_pp and SpecGRPlusPlus are one name."""
    return re.sub(r"[-_ ]", "", name.lower()).replace("plusplus", "pp").replace("++", "pp")


@functools.cache
def _classes(package: str) -> dict[str, tuple[str, str]]:
    """key -> (module, class name) of the models in a package, which are in files of their own names but for case. Read
    off the files: importing dozens of models would take seconds."""
    return {_key(file): (f"{package}.{file}", name) for file, name in _in_files(package) if file == name.lower()}


@functools.cache
def _classes_of_kind(kind: Kind) -> dict[str, tuple[str, str]]:
    """The same for another kind. The underscores of a file's name need not be in the class's."""
    found = _in_files(kind.package)
    return {_key(file): (f"{kind.package}.{file}", name) for file, name in found if _key(file) == _key(name)}


def _in_files(package: str) -> list[tuple[str, str]]:
    """(file without .py, class in it) of all files and classes of a package."""
    return [
        (path.stem, name)
        for path in package_folder(package).glob("*.py")
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def _baseline_files() -> dict[str, Path]:
    return {_key(path.stem): path for folder in folders("baselines") for path in sorted(folder.glob("*.yaml"))}


def _baseline_module(name: str) -> ModuleType | None:
    """The module `name.py` of a baselines folder, or None. Imported under a name of its own: the folder need not be on
    the path, and the module can't shadow another."""
    for folder in reversed(folders("baselines")):
        path = folder / f"{name}.py"
        if path.is_file():
            known_as = f"recbole_specgr_baselines.{name}"
            module = sys.modules.get(known_as)
            if module is None or Path(str(module.__file__)) != path:
                spec = importlib.util.spec_from_file_location(known_as, path)
                assert spec is not None and spec.loader is not None  # a .py file has both
                module = importlib.util.module_from_spec(spec)
                sys.modules[known_as] = module
                spec.loader.exec_module(module)
            return module
    return None
