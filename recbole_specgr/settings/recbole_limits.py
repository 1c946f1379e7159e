"""Where RecBole's own constructors know less than this package."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

# RecBole knows its own metrics only, and refuses sequential models whose lists leave out the history.
ACCEPTED = {"metrics": ["Recall"], "repeatable": True}


@contextmanager
def within_recboles_limits(settings: MutableMapping[str, Any]) -> Iterator[None]:
    """While RecBole reads the settings, those that it would refuse have values that it accepts."""
    own = {key: settings[key] for key in ACCEPTED}
    try:
        for key, value in ACCEPTED.items():
            settings[key] = value
        yield
    finally:
        for key, value in own.items():
            settings[key] = value
