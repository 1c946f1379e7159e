"""Settings that follow from how much data there is: what the setting `preset` stands for.

=========  =====================================================================================
`paper`    the numbers of the property files, whatever the data
`small`    RULES and the sizes in SMALL_SIZES
`auto`     the same below SMALL_ROWS training rows; above, only the rules that hold for all data
=========  =====================================================================================

A rule changes what RecBole's and this package's own `overall.yaml` and model files say. What is said above these (by a
data set's file, a tuned one, a baseline's, a file of one's own or the command line) stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SMALL_ROWS = 200_000
SMALL_SIZES = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 256,
    "num_layers": 1,
    "hidden_size": 64,
    "inner_size": 256,
    "n_layers": 2,
}
STEPS = 600  # that a stage is trained for at most, where data are few
STEPS_BETWEEN_VALIDATIONS = 100


@dataclass(frozen=True)
class DataSize:
    """How much data there is to train on.

    Attributes:
        rows: targets in training.
        items: that there are.
        seen_items: that occur in training.
    """

    rows: int
    items: int
    seen_items: int


@dataclass(frozen=True)
class Rule:
    """How a setting follows from the data.

    Attributes:
        key: its name, with dots where it is in a group.
        value: the settings as the rules before have them, the size of the data, and the value in the property files ->
            the value.
        small_only: it is for few data.
    """

    key: str
    value: Callable[[Mapping[str, Any], DataSize, Any], Any]
    small_only: bool = True


def _codebook_size(settings: Mapping[str, Any], size: DataSize, usual: int) -> int:
    """Short ids share codes, so that new items find theirs among the seen items' codes: half the square root of the
    seen items. In long ids every code stands for itself: an eighth of the seen items."""
    short = settings["tokenizer"]["levels"] <= 4
    return power_of_two(math.sqrt(size.seen_items) / 2 if short else size.seen_items / 8, 4, 256)


def _batch(settings: Mapping[str, Any], size: DataSize, usual: int) -> int:
    return min(usual, power_of_two(size.rows / 64, 32, usual))


def _epochs(share: float) -> Callable[[Mapping[str, Any], DataSize, Any], int]:
    """As many as make `share` of STEPS, at least three."""

    def epochs(settings: Mapping[str, Any], size: DataSize, usual: int) -> int:
        return min(usual, max(3, round(share * STEPS / _steps(settings, size))))

    return epochs


def _steps(settings: Mapping[str, Any], size: DataSize) -> int:
    """Of an epoch. One where nothing is left to train on, which is refused when the phases are made."""
    return max(1, math.ceil(size.rows / settings["train_batch_size"]))


def _at_most(most: int) -> Callable[[Mapping[str, Any], DataSize, Any], int]:
    return lambda settings, size, usual: min(usual, most)


#: In this order: a later one may build on what an earlier one said.
RULES = (
    *(Rule(key, _at_most(most)) for key, most in SMALL_SIZES.items()),
    Rule("tokenizer.codebook_size", _codebook_size, small_only=False),
    Rule("train_batch_size", _batch),
    Rule("contrastive_batch_size", lambda settings, size, usual: min(usual, 2 * settings["train_batch_size"])),
    Rule("warmup_steps", lambda settings, size, usual: 0.05 if usual else usual, small_only=False),
    Rule("epochs", _epochs(1)),
    Rule("stages.*.epochs", _epochs(0.2)),
    Rule(
        "eval_step",
        lambda settings, size, usual: usual and max(usual, round(STEPS_BETWEEN_VALIDATIONS / _steps(settings, size))),
    ),
    Rule("stopping_step", _at_most(5)),
)


def follow_data(
    preset: str, settings: Mapping[str, Any], given: Iterable[str], size: DataSize
) -> dict[str, tuple[Any, Any]]:
    """What the preset changes: dotted name -> the values before and after.

    Args:
        settings: all settings of a run.
        given: dotted names of those that stay.
    """
    small = preset == "small" or size.rows < SMALL_ROWS
    now: dict[str, Any] = dict(settings)
    changes: dict[str, tuple[Any, Any]] = {}
    for rule in RULES:
        if rule.small_only and not small:
            continue
        for key in open_keys(preset, now, given, [rule]):
            usual = look_up(now, key)
            value = rule.value(now, size, usual)
            if value != usual:
                changes[key] = usual, value
                put(now, key, value)
    return changes


def open_keys(
    preset: str, settings: Mapping[str, Any], given: Iterable[str], rules: Iterable[Rule] = RULES
) -> list[str]:
    """The dotted names of the settings that a preset may change."""
    if preset == "paper":
        return []
    named = [key for rule in rules for key in _names(rule.key, settings)]
    return [key for key in named if look_up(settings, key) is not None and not is_given(key, given)]


def _names(key: str, settings: Mapping[str, Any]) -> list[str]:
    first, star, last = key.partition(".*.")
    return [f"{first}.{name}.{last}" for name in settings[first]] if star else [key]


def is_given(key: str, given: Iterable[str]) -> bool:
    """A setting, by its dotted name, or a group that it is in, is among those of these dotted names."""
    return any(key == name or key.startswith(f"{name}.") for name in given)


def describe(preset: str, size: DataSize, changes: Mapping[str, tuple[Any, Any]]) -> str:
    """The statement on changes at the start of a run."""
    values = ", ".join(f"{key} {_shown(key, new)} ({old})" for key, (old, new) in changes.items())
    return (
        f"preset {preset}, for {size.rows:,} training rows and {size.seen_items:,} seen of {size.items:,} items: "
        f"{values}. In brackets what --preset=paper has."
    )


def _shown(key: str, value: Any) -> str:
    return f"{100 * value:g} % of the steps" if key == "warmup_steps" and value < 1 else str(value)


def power_of_two(value: float, least: int, most: int) -> int:
    """The power of two nearest to `value` by ratio, from `least` to `most`."""
    return min(most, max(least, 2 ** round(math.log2(max(value, 1)))))


def dotted(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all values that are no group."""
    names = []
    for key, value in values.items():
        names += dotted(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return names


def look_up(settings: Mapping[str, Any], key: str) -> Any:
    """A setting by its dotted name; None where there is none."""
    value: Any = settings
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a setting by its dotted name. Groups are copied before they are changed."""
    *groups, last = key.split(".")
    for name in groups:
        settings[name] = dict(settings[name])
        settings = settings[name]
    settings[last] = value
