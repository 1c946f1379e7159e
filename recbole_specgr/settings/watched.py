"""Which settings a run reads, by their top-level names: a search notices by it what it varies without effect."""

from collections.abc import Iterator
from contextlib import contextmanager

_WATCHERS: list[set[str]] = []


def note(name: str) -> None:
    """A Config was asked for this setting."""
    for names in _WATCHERS:
        names.add(name)


@contextmanager
def watched() -> Iterator[set[str]]:
    """Collects the names of the settings that are read inside of the block, by this process and from any Config."""
    names: set[str] = set()
    _WATCHERS.append(names)
    try:
        yield names
    finally:
        _WATCHERS.remove(names)
