"""Digests of the code of a user's own classes: two runs whose class was changed between them are told apart.

A digest is of the files in which the class stands and those of the user's classes that it derives from, of the modules
beside these that they import, and of what the setting says. What is installed does not count, nor does the code of this
package, of RecBole and of torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from recbole_specgr.settings.named_classes import (
    METRIC,
    SPLIT,
    TOKENIZER,
    Kind,
    is_ours,
    metric_class,
    split_class,
    tokenizer_class,
)
from recbole_specgr.settings.presets import look_up
from recbole_specgr.settings.registry import resolve
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.fingerprint import content_key

MODEL = "base_model"  # the setting under which the digest of the model's own class stands
INNER_MODELS = ("drafter", "backbone", "first", "second")  # settings that name a model that the model is made of
_NOT_THE_USERS = {"recbole_specgr", "recbole", "torch", "builtins", *sys.stdlib_module_names}


def code_digests(settings: Mapping[str, Any], model_class: type) -> dict[str, tuple[Any, str]]:
    """The settings that lead to a class of the user's own, by dotted names: what each says, and 16 hexadecimal digits.

    Args:
        settings: a run's, all of them.
        model_class: of the run's model.
    """
    found = {MODEL: [model_class], **{name: _classes(kind, settings) for name, kind in _KINDS.items()}}
    found |= {name: _of_model(look_up(settings, name)) for name in INNER_MODELS}
    digests = {}
    for name, classes in found.items():
        if sources := _sources(classes):
            value = look_up(settings, name)
            digests[name] = value, content_key([str(value), sources])[:16]
    return digests


_KINDS = {"metrics": METRIC, "split": SPLIT, "tokenizer.method": TOKENIZER}
_CLASS_OF = {METRIC: metric_class, SPLIT: split_class, TOKENIZER: tokenizer_class}


def _classes(kind: Kind, settings: Mapping[str, Any]) -> list[type]:
    value = look_up(settings, kind.setting)
    names = map(str, value if isinstance(value, list) else [value])
    try:
        return [_CLASS_OF[kind](name) for name in names if not is_ours(kind, name)]
    except UserError:  # a run can be loaded without the class of its tokenizer
        return []


def _of_model(name: Any) -> list[type]:
    """The class of a model that a setting names; none where it names something else."""
    try:
        return [resolve(name).model_class] if isinstance(name, str) else []
    except UserError:
        return []


def _sources(classes: Iterable[type]) -> list[tuple[str, str]]:
    """(name, digest of the file) of the user's classes among these and those that they derive from, and of the modules
    that their files import."""
    theirs = {one: None for given in classes for one in given.__mro__ if not _is_known(one)}
    modules = {one: sys.modules.get(one.__module__) for one in theirs}
    found = [(one.__qualname__, digest) for one, module in modules.items() if module and (digest := _of_file(module))]
    files = {module.__name__: module for module in modules.values() if module}
    helpers = {name: digest for module in files.values() for name, digest in _imported_by(module)}
    return [*found, *sorted((name, digest) for name, digest in helpers.items() if name not in files)]


def _is_known(one: type) -> bool:
    return one.__module__.partition(".")[0] in _NOT_THE_USERS


@functools.cache
def _of_file(module: ModuleType) -> str | None:
    """Of a module's file as it was when its classes were first asked for: a module is read once a process. None of one
    that has none, such as a notebook's."""
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None


@functools.cache
def _imported_by(module: ModuleType) -> tuple[tuple[str, str], ...]:
    """(name, digest of the file) of the modules beside a module, or below its folder, that it imports, and that these
    import in turn; as they were when this was first asked."""
    file = getattr(module, "__file__", None)
    folder, found, left = Path(file or "").parent, dict[str, str](), [module]
    while left:
        for name in sorted(_imports(left.pop())):
            other = None if name.partition(".")[0] in _NOT_THE_USERS else sys.modules.get(name)
            if other and name not in found and _is_beside(other, folder) and (digest := _of_file(other)):
                found[name] = digest
                left.append(other)
    return tuple(found.items())


def _imports(module: ModuleType) -> Iterator[str]:
    """The names of all that a module's file may import as modules, wherever in it. Nothing of a file that is no Python
    any more, and nothing of an import that can't be, such as a relative one outside of a package."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or not Path(file).is_file():
        return
    try:
        tree = ast.parse(Path(file).read_bytes())
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            try:
                base = importlib.util.resolve_name(package, module.__package__) if node.level else package
            except ImportError:
                continue
            yield base
            for alias in node.names:
                yield f"{base}.{alias.name}"


def _is_beside(module: ModuleType, folder: Path) -> bool:
    """Whether a module's file lies in the folder or below it, and is not installed there."""
    file = getattr(module, "__file__", None)
    if not file or not Path(file).is_relative_to(folder):
        return False
    return not {"site-packages", "dist-packages"}.intersection(Path(file).relative_to(folder.parent).parts)
