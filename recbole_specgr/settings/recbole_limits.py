"""Where RecBole's own constructors know less than this package."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from recbole_specgr.system.errors import UserError

# RecBole knows its own metrics only, and refuses sequential models whose lists leave out what users have had.
ACCEPTED = {"metrics": ["Recall"], "repeatable": True}


@contextmanager
def within_recboles_limits(settings: MutableMapping[str, Any]) -> Iterator[None]:
    """While RecBole reads the settings, those that it would refuse have values that it accepts.

    Raises:
        UserError: RecBole refuses the others, such as negative samples for a loss that compares with all items.
    """
    own = {key: settings[key] for key in ACCEPTED}
    try:
        for key, value in ACCEPTED.items():
            settings[key] = value
        yield
    except ValueError as error:
        raise UserError(f"RecBole can't take these settings: {error}") from error
    finally:
        for key, value in own.items():
            settings[key] = value
