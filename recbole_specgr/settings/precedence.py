"""Settings in layers: deep merging, and the checks that something reads every key and that every value can be."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from recbole_specgr.settings import schema
from recbole_specgr.system.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Layer:
    """Settings that came from one place.

    Attributes:
        source: where they came from, as it reads in an error message.
        values: the settings; dotted keys are already expanded.
        declares: the layer makes its keys known; the keys of other layers must be known already.
        open_groups: the keys inside the layer's mappings are free (RecBole's `eval_args`, `load_col`, ...).
        types: name -> JSON Schema of the settings that the layer's file declares.
        usual: its numbers are those of a model for all data, which a preset may change.
    """

    source: str
    values: dict[str, Any]
    declares: bool = False
    open_groups: bool = False
    types: dict[str, Any] = field(default_factory=dict)
    usual: bool = False


def deep_merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """`high` over `low`: mappings merge key by key, anything else replaces. Neither argument is changed or shared."""
    merged = copy.deepcopy(low)
    for key, value in high.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = deep_merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def expand_dotted(values: dict[str, Any], source: str) -> dict[str, Any]:
    """`{"tokenizer.levels": 4}` -> `{"tokenizer": {"levels": 4}}`. Raises UserError on a malformed or clashing key."""
    expanded: dict[str, Any] = {}
    for key, value in values.items():
        *groups, last = str(key).split(".")
        if not all([*groups, last]):
            raise UserError(f"[{key}] from {source} is not a setting's name.")
        for group in reversed(groups):
            last, value = group, {last: value}
        clash = last in expanded and not (isinstance(value, dict) and isinstance(expanded[last], dict))
        if clash:
            raise UserError(f"{source} gives [{last}] both a value and members ([{key}]).")
        twice = _given_twice(expanded, {last: value})
        if twice:
            raise UserError(f"{source} gives [{twice}] twice, once by its name and once in a group.")
        expanded = deep_merge(expanded, {last: value})
    return expanded


def _given_twice(first: dict[str, Any], second: dict[str, Any]) -> str | None:
    """The dotted name of a setting that stands in both."""
    for key in first.keys() & second.keys():
        if not (isinstance(first[key], dict) and isinstance(second[key], dict)):
            return str(key)
        inside = _given_twice(first[key], second[key])
        if inside:
            return f"{key}.{inside}"
    return None


def stack(layers: Iterable[Layer], known: Iterable[str] = ()) -> dict[str, Any]:
    """Merge `layers`, lowest first, checking keys and values.

    Args:
        known: names that are settings although no layer gives them a value.

    Raises:
        UserError: a key that no declaring layer has; a value that its type does not allow, or of another kind than the
            default where no type is declared; a stage that the model does not have.
    """
    layers = list(layers)
    types = types_of(layers)
    declared: dict[str, Any] = dict.fromkeys(known)
    closed: set[str] = set()
    for layer in layers:
        if layer.declares:
            _check_types(layer, types)
            for key, value in layer.values.items():
                if not layer.open_groups and isinstance(value, dict) and value and key not in _open_keys(layers):
                    closed.add(key)
            declared = deep_merge(declared, layer.values)
    if not declared.get("stages"):
        declared["stages"] = {"train": {}}

    settings: dict[str, Any] = {}
    for layer in layers:
        values = layer.values if layer.open_groups else _checked(layer, declared, closed, types)
        settings = deep_merge(settings, values)
    settings["stages"] = settings.get("stages") or {"train": {}}
    return settings


def types_of(layers: Iterable[Layer]) -> dict[str, Any]:
    """Name -> JSON Schema of all settings that the layers declare; a higher layer's goes first."""
    return {key: declared for layer in layers for key, declared in layer.types.items()}


def _open_keys(layers: list[Layer]) -> set[str]:
    return {key for layer in layers if layer.open_groups for key in layer.values}


def _check_types(layer: Layer, types: dict[str, Any]) -> None:
    for key in layer.values.keys() & types.keys():
        schema.checked(key, layer.values[key], types[key], layer.source)


def _checked(layer: Layer, declared: dict[str, Any], closed: set[str], types: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in layer.values.items():
        _require_known(key, declared, layer.source)
        if key == "stages":
            values[key] = _checked_stages(value, declared, types, layer.source)
        elif key == "tune":
            values[key] = _checked_grid(value, declared, types, layer.source)
        elif key in closed and value is not None:
            values[key] = _checked_group(key, value, declared[key], types.get(key), layer.source)
        else:
            values[key] = _checked_value(key, value, declared[key], types.get(key), layer.source)
    return values


def _checked_group(
    name: str, values: Any, declared: dict[str, Any], declared_type: dict[str, Any] | None, source: str
) -> dict[str, Any]:
    if not isinstance(values, dict):
        first = next(iter(declared))
        raise UserError(
            f"[{name}] is a group of settings, but {source} gives it the value [{values}]. "
            f"Set its members, such as [{name}.{first}]: they are {', '.join(declared)}."
        )
    checked = {}
    types = (declared_type or {}).get("properties", {})
    for key, value in values.items():
        _require_known(key, declared, source, prefix=f"{name}.")
        check = _checked_group if isinstance(declared[key], dict) and declared[key] else _checked_value
        checked[key] = check(f"{name}.{key}", value, declared[key], types.get(key), source)
    return checked


def _checked_stages(stages: Any, declared: dict[str, Any], types: dict[str, Any], source: str) -> dict[str, Any]:
    if stages is None:
        return {}
    if not isinstance(stages, dict):
        raise UserError(f"[stages] from {source} must map each stage to its settings, but is [{stages}].")
    checked: dict[str, dict[str, Any]] = {}
    for stage, values in stages.items():
        _require_known(stage, declared["stages"], source, prefix="stages.")
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise UserError(f"[stages.{stage}] from {source} must be a mapping of settings, but is [{values}].")
        checked[stage] = {}
        for key, value in values.items():
            _require_known(key, declared, source, prefix=f"stages.{stage}.")
            name = f"stages.{stage}.{key}"
            checked[stage][key] = _checked_value(name, value, declared[key], types.get(key), source)
    return checked


def _checked_grid(grid: Any, declared: dict[str, Any], types: dict[str, Any], source: str) -> dict[str, Any] | None:
    if grid is None:
        return None
    if not isinstance(grid, dict):
        raise UserError(f"[tune] from {source} must map settings to the values to try, but is [{grid}].")
    checked: dict[str, Any] = {}
    for key, values in grid.items():
        _require_known(key, declared, source, prefix="tune.")
        if values is not None and (not isinstance(values, list) or not values):
            raise UserError(f"[tune.{key}] from {source} must be a list of values to try, but is [{values}].")
        checked[key] = values and [
            _checked_value(f"tune.{key}", value, declared[key], types.get(key), source) for value in values
        ]
    return checked


def unknown_setting(key: Any, known: Iterable[str], source: str, prefix: str = "") -> str:
    """A sentence on a key that nothing reads, with the nearest known ones."""
    hint = did_you_mean(key, known)
    if not hint and prefix:
        hint = f" There are: {', '.join(map(str, known))}." if len(list(known)) <= 20 else ""
    return f"Unknown setting [{prefix}{key}] from {source}.{hint}"


def _require_known(key: Any, known: Iterable[str], source: str, prefix: str = "") -> None:
    if key not in known:
        raise UserError(unknown_setting(key, known, source, prefix))


def _checked_value(name: str, value: Any, default: Any, declared_type: dict[str, Any] | None, source: str) -> Any:
    """The value, as an int where a whole number is meant (1e3).

    Args:
        declared_type: its JSON Schema; None for a setting that only a file with its default declares (that of a class
            of one's own), whose values are of the default's kind.

    Raises:
        UserError: another kind of value, or one outside of the range.
    """
    if declared_type is not None:
        return schema.checked(name, value, declared_type, source)
    if value is None:
        return value
    value = schema.checked(name, value, kind_of(default), source)
    return int(value) if type(default) is int and float(value).is_integer() else value


def kind_of(default: Any) -> dict[str, Any]:
    """The JSON Schema of a setting of which only its default is known; of a text or of nothing it may be anything."""
    if isinstance(default, bool):
        return {"type": "boolean"}
    return {"type": "number"} if isinstance(default, (int, float)) else {}
