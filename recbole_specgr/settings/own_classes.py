"""Slips of the pen in the baseline file of a class of one's own, which declares its settings by giving them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from recbole_specgr.settings.precedence import Layer, unknown_setting
from recbole_specgr.system.errors import UserError

ALIKE = 0.8  # difflib's ratio from which two names are one, misspelt


def check_own_settings(layer: Layer, model_class: type, known: Collection[str], types: dict[str, Any]) -> None:
    """Raise UserError for a setting that nothing reads.

    Where a schema beside the baseline file declares what the class reads, any other name is wrong. Without one a name
    is wrong when the class's code does not have it, but has one like it, or all models share one like it.

    Args:
        layer: the baseline file's settings.
        known: names that all models share, and that the class's property file declares.
        types: what the schema beside the baseline file declares.
    """
    unknown = [key for key in layer.values if key not in known and key not in types]
    if types and unknown:
        raise UserError(unknown_setting(unknown[0], [*types, *known], layer.source))
    read = words_of(model_class)
    for key in unknown:
        if key not in read and get_close_matches(key, [*known, *read], cutoff=ALIKE):
            raise UserError(
                f"{unknown_setting(key, [*known, *read], layer.source)} If {model_class.__name__} does read [{key}], "
                f"declare it in a .schema.json beside that file."
            )


def words_of(model_class: type) -> set[str]:
    """The texts that stand in the files of a class and of the classes that it derives from, but for torch's."""
    files = {
        inspect.getsourcefile(one)
        for one in model_class.__mro__
        if not one.__module__.startswith(("torch.", "builtins"))
    }
    return {word for file in files if file for word in _texts_of(file)}


def _texts_of(file: str) -> set[str]:
    with open(file, encoding="utf-8") as source:
        nodes = ast.walk(ast.parse(source.read()))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
