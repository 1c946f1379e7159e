"""Settings as a reader looks them up: each with its default, what it must be, and what it does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_specgr.settings.schema import read_schema, schema_beside
from recbole_specgr.settings.sentences import expectation


@dataclass(frozen=True)
class Described:
    """One setting.

    Attributes:
        name: as on the command line, such as `tokenizer.levels`.
        default: as YAML on one line; None where no property file gives one.
        values: what it must be; "" where nothing declares its type.
        meaning: what it does; "" where nothing says.
    """

    name: str
    default: str | None
    values: str
    meaning: str


def settings_of(values: dict[str, Any], types: dict[str, Any], prefix: str = "") -> list[Described]:
    """The settings of a property or baseline file, in its order; of a group its members.

    Args:
        values: what the file holds.
        types: name -> JSON Schema of all settings that may stand there.
        prefix: of the names, such as `tokenizer.`.
    """
    found = []
    for key, value in values.items():
        schema = types.get(key, {})
        members = schema.get("properties", {})
        if isinstance(value, dict) and value and members:
            found += settings_of(value, members, f"{prefix}{key}.")
        else:
            found.append(_setting(f"{prefix}{key}", _on_one_line(value), schema))
    return found


def without_default(types: dict[str, Any], given: Collection[str]) -> list[Described]:
    """The settings that are declared and not among those given."""
    return [_setting(name, None, types[name]) for name in types if name not in given]


def types_for(properties: Path, models: list[str]) -> dict[str, Any]:
    """Name -> JSON Schema of what models on top of each other have, the lowest first, in a folder of property files."""
    types = {
        **read_schema(properties / "recbole_models.schema.json"),
        **read_schema(properties / "overall.schema.json"),
    }
    for model in models:
        types |= schema_beside(properties / "model" / f"{model}.yaml")
    return types


def introduction(file: Path) -> str:
    """The comment at the top of a property or baseline file."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# yaml-language-server:"):
            lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def _setting(name: str, default: str | None, schema: dict[str, Any]) -> Described:
    return Described(name, default, expectation(schema) if schema else "", schema.get("description", ""))


def _on_one_line(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "~" if value is None else str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n...\n").strip()
