"""A part of the check: a command in a process of its own, with a limit, that can only fail for itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TAIL = 4000  # characters of its output that the report has of a part that failed
LEAST = 5  # seconds below which a part is not begun


@dataclass(frozen=True)
class Verdict:
    """What a part's own files say.

    Attributes:
        state: `passed`, `failed` or `skipped`.
        reason: one line; "" where it passed.
        details: plain data for the report.
    """

    state: str
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part to run.

    Attributes:
        name: in the report, and of its files.
        command: words.
        limit: seconds.
        judge: from its exit status and the folder of its files to the verdict.
        environment: over the present one.
    """

    name: str
    command: list[str]
    limit: float
    judge: Callable[[int, Path], Verdict]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        seconds: that it took.
        tail: the end of its output, where it failed.
    """

    name: str
    verdict: Verdict
    seconds: float = 0.0
    tail: str = ""


def run_part(part: Part, folder: Path, seconds_left: float) -> Outcome:
    """Run a part to its end or its limit; its output goes to `<folder>/<name>.log`. Raises nothing for what it does."""
    limit, log = min(part.limit, seconds_left), folder / f"{part.name}.log"
    if limit < LEAST:
        return Outcome(part.name, Verdict("skipped", "no time was left for it"))
    started = time.monotonic()
    try:
        status = _status(part, log, limit)
        if status is None:
            verdict = Verdict("failed", f"it was ended after its {limit:.0f} seconds")
        else:
            verdict = part.judge(status, folder)
    except Exception as error:  # one part must not end the others
        verdict = Verdict("failed", f"{type(error).__name__}: {error}")
    tail = log.read_text(encoding="utf-8", errors="replace")[-TAIL:] if log.is_file() else ""
    seconds = time.monotonic() - started
    return Outcome(part.name, verdict, seconds, tail if verdict.state == "failed" else "")


def _status(part: Part, log: Path, limit: float) -> int | None:
    """The command's exit status; None where it was ended at its limit, and with it what it had started."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with log.open("wb") as output:
        process = subprocess.Popen(
            part.command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **part.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with suppress(ProcessLookupError):  # all of it has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
