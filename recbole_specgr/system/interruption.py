"""SIGTERM, a scheduler's notice that time is up: what runs is saved at its next safe point, then the process ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_STATUS = 143  # 128 + SIGTERM, what a shell reports of a process that SIGTERM ended

_asked = False
_deferrals = 0


class Terminated(SystemExit):
    """The process ends because of SIGTERM; everything that is to be kept has been saved."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM; inside `safe_points` only where the work asks `asked`.

    Only the main thread can do so; in another one this does nothing.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked = False
    before = signal.signal(signal.SIGTERM, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _asked = False


@contextmanager
def safe_points() -> Iterator[None]:
    """Work that looks at `asked` by itself, and is not to be torn apart in between."""
    global _deferrals
    _deferrals += 1
    try:
        yield
    finally:
        _deferrals -= 1


def asked() -> bool:
    """SIGTERM has come to this process."""
    return _asked


def _note(signum: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    if not _deferrals:
        raise Terminated
