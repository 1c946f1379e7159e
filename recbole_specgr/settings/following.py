"""Defaults that follow from another setting's value, which a property file can't say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: (setting, its value) -> what is usual then. A causal model learns all items of a history in one pass.
USUAL: dict[tuple[str, Any], dict[str, Any]] = {("architecture", "decoder_only"): {"train_on": "windows"}}


def following(settings: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The settings that follow from others, without those that somebody gave.

    Args:
        settings: all settings.
        given: names of those that stand in more than this package's own property files.
    """
    found: dict[str, Any] = {}
    for (key, value), usual in USUAL.items():
        if settings.get(key) == value:
            found |= {name: usual[name] for name in usual if name not in given}
    return found
