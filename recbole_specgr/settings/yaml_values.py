"""YAML as the settings are written in: safe, and with the numbers people type."""

import re
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recbole_specgr.system.errors import UserError


class Loader(yaml.SafeLoader):
    """The safe loader, reading numbers as people write them, `None` as null, and a date as the text it is.

    `1e-3` is a number. YAML 1.1 also takes 010 for eight and 1:30 for ninety; here both are text. A key that stands
    twice in one mapping is an error, where the last one would win.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        written = [key for key, _ in node.value if key.tag != _MERGE]
        keys = [self.construct_object(key, deep=True) for key in written]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                mark = written[place].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"[{key}] stands there twice", mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_TAGS = "tag:yaml.org,2002:"
_MERGE = f"{_TAGS}merge"
Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if tag.removeprefix(_TAGS) not in ("timestamp", "int", "float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(f"{_TAGS}int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    f"{_TAGS}float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^None$"), ["N"])


def parse_value(text: str, source: str) -> Any:
    """One value as typed after `--key=`. Raises UserError when it is not YAML."""
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        interval = text[:1] in ("[", "(") and text[-1:] in ("]", ")")
        hint = f""" An interval is text: give it as '"{text}"'.""" if interval and "," in text else ""
        raise UserError(f"[{text}] from {source} is not a YAML value: {_reason(error)}.{hint}") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping. Raises UserError on anything else."""
    try:
        values = deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {_reason(error)}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold `key: value` lines, but holds a {type(values).__name__}.")
    return values


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """What is in YAML text. Property files are read again and again, and to parse one takes twenty milliseconds."""
    return yaml.load(text, Loader=Loader)


def plain(value: Any) -> Any:
    """`value` in the types that safe YAML has."""
    if isinstance(value, dict):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):  # which has no order of its own
        return [plain(member) for member in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if isinstance(value, np.generic) else str(value)


def as_lists(value: Any) -> Any:
    """`value` with tuples, sets and arrays as lists, at any depth, and everything else as it is."""
    if type(value) is dict:
        return {key: as_lists(member) for key, member in value.items()}
    if isinstance(value, (set, frozenset, np.ndarray)):
        return plain(value)
    return [as_lists(member) for member in value] if isinstance(value, (list, tuple)) else value


def _reason(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error).partition("\n")[0]
    mark = error.problem_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"{error.problem or error}{where}"
