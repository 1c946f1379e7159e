"""The declared type and range of every setting: JSON Schema files beside the property files.

`overall.schema.json` declares what all models share, `recbole_models.schema.json` what RecBole's models read beyond it,
and `NAME.schema.json` beside any other file `NAME.yaml` what that model reads. Defaults stand in the YAML files alone.
Of a `$ref` two forms are read: a file beside, and one under `$defs` of a file beside.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema

from recbole_specgr.settings.sentences import expectation, is_finite, why_not
from recbole_specgr.settings.yaml_values import plain
from recbole_specgr.system.errors import UserError

LONGEST = 200  # characters of a value that a message shows


def _is_finite(_: Any, value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def _is_whole(_: Any, value: Any) -> bool:
    return isinstance(value, int) and _is_finite(_, value)


# JSON has neither NaN nor infinity, and the validator would let both pass every range. A range is checked of numbers
# alone, so a whole number must be one.
_TYPES = jsonschema.Draft202012Validator.TYPE_CHECKER
_NUMBERS = _TYPES.redefine_many({"number": _is_finite, "integer": _is_whole})
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_NUMBERS)


def schema_beside(path: Path) -> dict[str, Any]:
    """The settings that `NAME.schema.json` beside the file `NAME.yaml` declares: name -> schema. Empty without it."""
    return read_schema(path.with_suffix(".schema.json"))


@functools.cache
def read_schema(path: Path) -> dict[str, Any]:
    """The settings that a schema file declares itself, without those of the files that its `allOf` names; name ->
    schema, with the kinds that they refer to put in. Empty where there is no such file.

    Raises:
        UserError: the file is no JSON Schema.
    """
    if not path.is_file():
        return {}
    try:
        declared = _inlined(_content(path).get("properties", {}), path.parent)
        for schema in declared.values():
            _Validator.check_schema(schema)
    except (OSError, ValueError, AttributeError, KeyError, TypeError, jsonschema.SchemaError) as error:
        reason = error.message if isinstance(error, jsonschema.SchemaError) else error
        raise UserError(f"{path} is no JSON Schema of settings: {reason}.") from error
    return declared


def checked(name: str, value: Any, schema: dict[str, Any], source: str) -> Any:
    """The value, as an int where a whole number is meant and it is written as 1e3.

    Args:
        name: as messages have it, such as `tokenizer.levels`.
        source: where the value came from, for messages.

    Raises:
        UserError: the value is of another type, or outside of the range.
    """
    meant = as_meant(value, schema)
    error = _first_error(meant, schema)
    if error is not None:
        raise UserError(_sentence(name, plain(value), schema, source, error))
    return meant


def as_meant(value: Any, schema: dict[str, Any]) -> Any:
    """The value, as an int where a whole number is meant and it is written as 1e3."""
    return int(value) if isinstance(value, float) and value.is_integer() and _wants_integer(schema) else value


def allows(schema: dict[str, Any], value: Any) -> bool:
    """The value is of the type, and within the range."""
    return _first_error(value, schema) is None


def _first_error(value: Any, schema: dict[str, Any]) -> jsonschema.ValidationError | None:
    found: jsonschema.ValidationError | None = next(_Validator(schema).iter_errors(plain(value)), None)
    return found


def _wants_integer(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", [])
    return "integer" in ([kinds] if isinstance(kinds, str) else kinds) or any(
        _wants_integer(one) for one in schema.get("anyOf", [])
    )


def _sentence(name: str, value: Any, schema: dict[str, Any], source: str, error: jsonschema.ValidationError) -> str:
    """What is wrong: with the value, or with the member of it where that says more."""
    part: Any = error.schema  # which the value at fault did not meet
    at_fault: Any = error.instance
    if isinstance(value, dict) and error.validator == "additionalProperties" and schema.get("properties"):
        unknown = sorted(set(at_fault) - set(part.get("properties", {})))
        return f"[{name}] has no member [{unknown[0]}], from {source}: it has {', '.join(part['properties'])}."
    if isinstance(value, dict):
        name = ".".join([name, *(step for step in error.absolute_path if isinstance(step, str))])
        value, schema = at_fault, part
    shown = str(value) if len(str(value)) <= LONGEST else f"{str(value)[:LONGEST]}..."
    return f"[{name}] must be {expectation(schema)}, but is [{shown}], from {source}{why_not(value, schema)}."


def _inlined(node: Any, folder: Path) -> Any:
    """A schema with `FILE#/$defs/NAME` replaced by what is there; a description beside it stays."""
    if isinstance(node, list):
        return [_inlined(member, folder) for member in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _inlined(value, folder) for key, value in node.items() if key != "$ref"}
    if "$ref" not in node:
        return rest
    file, _, name = node["$ref"].partition("#/$defs/")
    return {**_inlined(_content(folder / file)["$defs"][name], (folder / file).parent), **rest}


@functools.cache
def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
