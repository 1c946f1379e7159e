"""What a schema says, in words: what a value must be, and why one that looks right is not."""

from __future__ import annotations

import sys
from typing import Any

from recbole_specgr.settings.yaml_values import parse_value
from recbole_specgr.system.errors import UserError

NO_END = (2**31 - 1, 1e30, -1e30)  # a range that ends here has no end worth saying
_PLAIN = {"boolean": "True or False", "string": "text", "null": "~", "object": "a group of settings", "array": "a list"}


def expectation(schema: dict[str, Any]) -> str:
    """Such as `a whole number from 1 to 1,000, or ~`."""
    if "enum" in schema:
        names = [_shown(value) for value in schema["enum"]]
        return f"one of {', '.join(names)}" if len(names) > 2 else " or ".join(names)
    if "anyOf" in schema:
        return _either([expectation(one) for one in schema["anyOf"]])
    return _either([_of_kind(kind, schema) for kind in _kinds(schema)]) or "another value"


def is_finite(value: float) -> bool:
    """Neither NaN nor infinity nor an int beyond what a float can hold."""
    return -sys.float_info.max <= value <= sys.float_info.max


def why_not(value: Any, schema: dict[str, Any]) -> str:
    """Why a value that looks right in a message is none, with a colon before it; else an empty string."""
    kinds = _all_kinds(schema)
    if isinstance(value, str):
        return _why_not_text(value, schema, kinds)
    if isinstance(value, (int, float)) and not is_finite(value) and kinds & {"number", "integer"}:
        return ": a number must be finite"
    largest = [one["maximum"] for one in (schema, *schema.get("anyOf", [])) if one.get("maximum") in NO_END]
    if largest and isinstance(value, (int, float)) and value > largest[0]:
        return f": the largest is {largest[0]:,}"
    if "string" in kinds and isinstance(value, (bool, int, float)):
        what = "a truth value" if isinstance(value, bool) else "a number"
        return f": YAML reads it as {what}; in quotes it is text, '{value}'"
    if isinstance(value, list) and kinds and "array" not in kinds:
        return ": it is a list"
    return ""


def _why_not_text(value: str, schema: dict[str, Any], kinds: set[str]) -> str:
    longest = schema.get("maxLength", len(value))
    if len(value) > longest:
        return f": it has {len(value):,} characters, and {longest:,} is the most"
    if not value and schema.get("minLength"):
        return ": it is empty"
    if "array" in kinds and "," in value and len(value) < 100:
        return f": it is text; in brackets it is a list, [{value}]"
    if kinds & {"number", "integer", "boolean", "array", "object"} and "string" not in kinds:
        try:
            unquoted = parse_value(value, "a value in quotes")
        except UserError:
            unquoted = value
        quoted = not isinstance(unquoted, str) and unquoted is not None
        return ": it is text, because of its quotes" if quoted else ": it is text"
    return ""


def _of_kind(kind: str, schema: dict[str, Any]) -> str:
    if kind in ("integer", "number"):
        return f"{'a whole number' if kind == 'integer' else 'a number'}{_range(schema)}"
    if kind == "array":
        return _a_list(schema)
    if kind == "object" and "properties" in schema:
        return f"a group of {', '.join(schema['properties'])}"
    return _PLAIN[kind]


def _a_list(schema: dict[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    members = _many(schema["items"]) if "items" in schema else "values"
    if least == most:
        return f"a list of {least} {members}"
    return f"a list of {members}, at least {least}" if least else f"a list of {members}"


def _many(schema: dict[str, Any]) -> str:
    kinds = _kinds(schema)
    if kinds == ["integer"]:
        return f"whole numbers{_range(schema)}"
    if kinds == ["number"]:
        return f"numbers{_range(schema)}"
    return "texts" if kinds == ["string"] else expectation(schema)


def _range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    low, high = (None if end in NO_END else end for end in (low, high))
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    lower = f" from {low:,}" if low is not None else f" above {above:,}" if above is not None else ""
    upper = f" to {high:,}" if high is not None and low is not None else f" up to {high:,}" if high is not None else ""
    if below is not None:
        upper = f"{' and' if lower else ''} below {below:,}"
    return lower + upper


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _all_kinds(schema: dict[str, Any]) -> set[str]:
    kinds = set(_kinds(schema))
    for one in schema.get("anyOf", []):
        kinds |= _all_kinds(one)
    if "enum" in schema:
        kinds |= {"string" for value in schema["enum"] if isinstance(value, str)}
    return kinds


def _either(choices: list[str]) -> str:
    return ", or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


def _shown(value: Any) -> str:
    return "~" if value is None else "''" if value == "" else str(value)
