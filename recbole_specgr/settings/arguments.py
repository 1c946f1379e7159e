"""Words such as `--epochs=20` turned into settings; a record keeps such words as the command that made it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_specgr.settings.yaml_values import parse_value
from recbole_specgr.system.errors import UserError

SWITCHES = {"help": "help", "list_models": "list_models", "list-models": "list_models", "debug": "debug"}
SWITCHES["version"] = "version"
SHORT = {"-m": "--model", "-d": "--dataset", "-h": "--help"}


@dataclass
class Arguments:
    """What a command line says.

    Attributes:
        model, dataset: names, None when not given.
        config_files: paths, in the order given.
        settings: key -> parsed value; keys may be dotted.
        switches: those of help, list_models, version and debug that were given.
    """

    model: str | None = None
    dataset: str | None = None
    config_files: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)


def parse(argv: list[str]) -> Arguments:
    """Read `--key=value`, `--key value` and `--flag`.

    Raises:
        UserError: a word that belongs to no key; a key given twice with different values; a value that is not YAML.
    """
    arguments = Arguments()
    words = list(argv)
    given: dict[str, str] = {}
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if not name.startswith("--") or len(name) == 2:
            raise UserError(f"[{word}] on the command line belongs to no setting: write --key=value.")
        key = name[2:]
        if key in SWITCHES and not equals:
            arguments.switches.add(SWITCHES[key])
            continue
        following: list[str] = []
        while not equals and words and not _is_key(words[0]) and (not following or key == "config_files"):
            following.append(words.pop(0))
        if key == "config_files":
            arguments.config_files += _files(value) if equals else [file for word in following for file in _files(word)]
            continue
        text = value if equals else "".join(following) or "True"
        if given.setdefault(key, text) != text:
            raise UserError(f"[--{key}] is given twice on the command line, as [{given[key]}] and as [{text}].")
    for key, text in given.items():
        if key in ("model", "dataset"):
            setattr(arguments, key, text)
        else:
            arguments.settings[key] = parse_value(text, f"the command line (--{key})")
    return arguments


def _is_key(word: str) -> bool:
    """`--epochs` and `-m` start a setting; `-1` and `-.5` are values."""
    return word.startswith("--") or word.partition("=")[0] in SHORT


def _files(text: str) -> list[str]:
    return [text] if Path(text).is_file() else text.split()
