"""Commands in processes of their own: what ends this process ends them first, and lets them save their work."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole_specgr.system.child import run_child
from recbole_specgr.system.interruption import EXIT_STATUS, Terminated

PYTHON = sys.executable
# Works until a signal, then takes longer to save than `subprocess.run` would wait.
WORK = """
import pathlib, sys, time
from recbole_specgr.system.interruption import heeding_sigterm
begun, saved = map(pathlib.Path, sys.argv[1:3])
with heeding_sigterm():
    try:
        begun.touch()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(1)
        saved.touch()
        sys.exit(130)
    except SystemExit:
        time.sleep(1)
        saved.touch()
        raise
"""
STARTER = """
import sys
from recbole_specgr.commands.command_line import exit_status
from recbole_specgr.system.child import run_child
sys.exit(exit_status(lambda: run_child([sys.executable, "-c", *sys.argv[1:]])))
"""


@pytest.mark.parametrize(
    ("number", "whole_group", "status"),
    [(signal.SIGTERM, False, EXIT_STATUS), (signal.SIGTERM, True, EXIT_STATUS), (signal.SIGINT, True, 130)],
)
def test_a_signal_ends_the_command_too_which_saves_its_work(
    tmp_path: Path, number: int, whole_group: bool, status: int
) -> None:
    """`kill` and `timeout` reach the starter alone, a scheduler and Ctrl-C the whole group."""
    begun, saved = tmp_path / "begun", tmp_path / "saved"
    words = [PYTHON, "-c", STARTER, WORK, begun, saved]
    # A shell that starts something in the background has it ignore Ctrl-C, and what that starts inherits it.
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    starter = subprocess.Popen(words, start_new_session=True, preexec_fn=heeding)
    until = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < until:
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(starter.pid, number)
    assert starter.wait(30) == status
    assert saved.exists()


@pytest.mark.parametrize(("code", "status"), [("", 0), ("raise SystemExit(3)", 3)])
def test_the_status_of_a_command_is_returned(code: str, status: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_child([PYTHON, "-c", code]) == status
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("status", "error"), [(130, KeyboardInterrupt), (EXIT_STATUS, Terminated), ("SIGTERM", Terminated)]
)
def test_a_command_that_a_signal_ended_ends_what_started_it(status: int | str, error: type[BaseException]) -> None:
    code = f"raise SystemExit({status})" if status != "SIGTERM" else "import os; os.kill(os.getpid(), 15)"
    with pytest.raises(error):
        run_child([PYTHON, "-c", code])
