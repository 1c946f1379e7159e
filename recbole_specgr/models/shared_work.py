"""Work that decoding the same users under several settings has in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(kw_only=True)
class SharedWork:
    """What `encode_users` gives, for `rank`.

    Attributes:
        shared: what decoding the same users and candidates under several settings has in common; None keeps nothing.
    """

    shared: dict[Hashable, Any] | None = None

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, computed once where `shared` is kept."""
        if self.shared is None:
            return compute()
        if key not in self.shared:
            self.shared[key] = compute()
        return self.shared[key]
