"""When a run or a cell of a study ended, as records have it: `2026-11-28T14:40:48+0000`, in the zone of its machine."""

import time
from datetime import datetime

_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


def now() -> str:
    """This moment, in the machine's zone."""
    return time.strftime(_FORMAT)


def moment(text: str) -> datetime:
    """A moment that compares with those of other zones. Raises ValueError for text of another form."""
    return datetime.strptime(text, _FORMAT)


def is_moment(text: str) -> bool:
    """Whether `moment` can read it."""
    try:
        moment(text)
    except ValueError:
        return False
    return True
