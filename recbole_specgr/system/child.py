"""A command in a process of its own, which ends no later than the process that started it."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from recbole_specgr.system.interruption import EXIT_STATUS, Terminated

INTERRUPTED = 130  # 128 + SIGINT, what a shell reports of a process that Ctrl-C ended


def run_child(command: Sequence[str]) -> int:
    """Run a command on this terminal, and return its exit status.

    SIGTERM to this process is passed on to the command. Ctrl-C reaches both from the terminal. Either way the command
    is waited for, however long it takes to save its work. `subprocess.run` would kill it a quarter of a second after
    Ctrl-C, and after SIGTERM it would go on alone.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the command, or came while it ran.
        Terminated: SIGTERM ended the command, or came while it ran.
    """
    child: subprocess.Popen[bytes] | None = None
    terminated = interrupted = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        if child:
            child.terminate()

    with _on_sigterm(terminate):
        child = subprocess.Popen(command)
        if terminated:  # before there was a child
            child.terminate()
        while True:
            try:
                status = child.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    if terminated or status in (EXIT_STATUS, -signal.SIGTERM):
        raise Terminated
    if interrupted or status in (INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    return status


@contextmanager
def _on_sigterm(do: Callable[[], None]) -> Iterator[None]:
    """Do this on SIGTERM. Only the main thread can; another one does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda signum, frame: do())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
