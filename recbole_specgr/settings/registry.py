"""A model's name -> its class, by RecBole's own convention: the file `<name lower>.py` holds the class `<Name>`.

A model's name is looked for among the baseline files, our models, and RecBole's sequential models, in this order. What
else settings name is found by `named_classes`.
"""

import functools
import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recbole_specgr.settings.class_files import classes_in_files, key_of, own_class
from recbole_specgr.settings.published import Published, read_published
from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.schema import checked, read_schema
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError, did_you_mean

OURS = "recbole_specgr.models"
RECBOLE = "recbole.model.sequential_recommender"
RECBOLE_OTHERS = tuple(
    f"recbole.model.{kind}_recommender" for kind in ("general", "context_aware", "knowledge_aware", "exlib")
)

GROUPS = ("ID", "feature + ID", "modality", "generative", "ours")
METADATA = ("display_name", "group", "published")  # keys of a baseline file that are no settings


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
    file = _baseline_files().get(key_of(name))
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
    metadata["published"] = published_results(metadata.get("published", {}), file)
    return ModelEntry(file.stem, base_class(base, file), settings, file, base, **metadata)


def published_results(given: Any, file: Path) -> tuple[Published, ...]:
    """What `given` says under `published` in a baseline file: results, or the name of a baseline that has them, where
    this one is the same model built otherwise. Their sources then begin with that name.

    Raises:
        UserError: it is neither, or names a baseline that has none of its own.
    """
    if not isinstance(given, str):
        return read_published(given, file)
    other = _baseline_files().get(key_of(given))
    theirs = read_mapping(other).get("published") if other is not None else None
    if other is None or not isinstance(theirs, dict):
        raise UserError(
            f"`published: {given}` of {file} must name a baseline whose file has published results of its own, such as "
            f"TIGER."
        )
    return tuple(replace(entry, source=f"{other.stem}: {entry.source}") for entry in read_published(theirs, other))


def base_class(base: str, source: Path | str) -> type:
    """The class that `base` names: a registered model, or `module:Class` with the module beside a baseline file or
    importable. `source` is named in errors."""
    if ":" not in base:
        return _registered(base, f" (`base` of {source})")
    return own_class(base, f"`base: {base}` of {source}")


def _registered(name: str, where: str = "") -> type:
    for package in (OURS, RECBOLE):
        if key_of(name) in _classes(package):
            module, class_name = _classes(package)[key_of(name)]
            return getattr(importlib.import_module(module), class_name)
    if any(key_of(name) in _classes(package) for package in RECBOLE_OTHERS):
        raise UserError(
            f"RecBole's [{name}]{where} is not a sequential model; the inductive protocol needs one that reads the "
            f"user's history."
        )
    if where and key_of(name) in _baseline_files():
        raise UserError(
            f"[{name}]{where} is a baseline file itself. Name the model that it is based on, and copy its settings."
        )
    known = [known for names in list_models().values() for known in names]
    raise UserError(f"There is no model [{name}]{where}.{did_you_mean(name, known)} --list-models shows them all.")


@functools.cache
def _classes(package: str) -> dict[str, tuple[str, str]]:
    """key -> (module, class name) of the models in a package, which are in files of their own names but for case."""
    return {
        key_of(file): (f"{package}.{file}", name) for file, name in classes_in_files(package) if file == name.lower()
    }


def _baseline_files() -> dict[str, Path]:
    return {key_of(path.stem): path for folder in folders("baselines") for path in sorted(folder.glob("*.yaml"))}
