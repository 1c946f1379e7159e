"""The one exception type for mistakes in what the user gave."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A wrong setting, name or file: the command line prints its message as one line, without a traceback."""


def shown(value: object, longest: int = 60) -> str:
    """The value in brackets for a message: what can't be printed as escapes, cut where it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else str(value)
    return f"[{text if len(text) <= longest else text[:longest] + '...'}]"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean [a] or [b]?` for the known names near `name`, else an empty string."""
    by_lower = {str(k).lower(): k for k in known}
    near = get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(f'[{by_lower[n]}]' for n in near)}?" if near else ""
