"""Memory of a data set by its numbers of interactions, users and items."""

from __future__ import annotations

from dataclasses import dataclass

_ID_CHARACTERS = 28  # of a user of Amazon; an item has 10


@dataclass(frozen=True)
class Sizes:
    """How much there is of what memory grows with."""

    interactions: int
    users: int
    items: int


def arrays(sizes: Sizes) -> dict[str, tuple[str, int, bool]]:
    """What a loaded data set holds: name -> (shape, bytes, processes that share the cache share it)."""
    n = sizes.interactions
    targets = n - sizes.users
    return {
        "interactions: user, item, time": (f"3 x [{n:,}]", (8 + 8 + 4) * n, True),
        "split: order, users, items, times, starts, phases": (f"6 x [{n:,}]", 6 * 8 * n, True),
        "split: which are targets": (f"[{n:,}]", n, True),
        "times in seconds": (f"[{n:,}]", 8 * n, False),
        "views: rows and where their users begin": (f"2 x [{targets:,}]", 2 * 8 * targets, False),
        "views: user, item, time": (f"3 x [{targets:,}]", (8 + 8 + 4) * targets, False),
        "names of users": (f"[{sizes.users:,}] of {_ID_CHARACTERS} characters", 4 * _ID_CHARACTERS * sizes.users, True),
        "names of items": (f"[{sizes.items:,}] of 10 characters", 4 * 10 * sizes.items, True),
        "items: seen, first seen, interacted": (f"3 x [{sizes.items:,}]", (1 + 8 + 1) * sizes.items, True),
    }
