"""The runs that a result took parameters from."""

from collections.abc import Iterable
from typing import Any

from recbole_specgr.runs.comparison import SOURCE
from recbole_specgr.runs.launch import training_words
from recbole_specgr.settings.arguments import parse
from recbole_specgr.system.errors import UserError


def sources_named(record: dict[str, Any]) -> list[str]:
    """The settings that named the runs which a result took parameters from.

    A record of version 0.1 has them in its command only; a command that is none of this program names nothing.
    """
    if "taken" in record:
        return list(record["taken"])
    words = training_words(record["command"])
    try:
        return [key for key in parse(words).settings if key.endswith(SOURCE)] if words else []
    except UserError:
        return []


def records_used(record: dict[str, Any], others: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the `others` that are of the runs which a result took parameters from: the setting that named each run
    -> its record.

    A record says which by the digests of their records. One of version 0.1 only says their models: there it is the
    record of the same seed, as in properties/table.yaml.
    """
    named = sources_named(record)
    if not named:
        return {}
    others = list(others)
    by_digest = {other["digest"]: other for other in others}
    of_seed = {other["model"]: other for other in reversed(others) if other["seed"] == record["seed"]}
    found: dict[str, dict[str, Any] | None] = {}
    for key in named:
        if key in record.get("taken", {}):
            found[key] = by_digest.get(record["taken"][key]["record"])
        else:
            found[key] = of_seed.get(record["settings"].get(key.removesuffix(SOURCE)))
    return {key: other for key, other in found.items() if other is not None}
