"""Trials of a kind of input, and what came of them."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from recbole_specgr.system.errors import UserError

_LONGEST = 4000  # characters of a sentence that somebody reads


class Fault(Exception):
    """Input was handled, but what came out of it is wrong; or it was refused, but something was left behind."""


#: Tries one input, drawn from the numbers, in an empty folder. Returns what was tried in words, or raises UserError or
#: FileNotFoundError where the input is refused, Fault where the outcome is wrong. Any other exception is a fault, too.
Kind = Callable[[Random, Path], None]


@dataclass
class Tally:
    """How many trials were made and how they ended; the faults with the numbers of their trials."""

    tried: int = 0
    refused: int = 0
    handled: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)


def run_trials(kind: Kind, seconds: float, seed: int = 0, only: int | None = None) -> Tally:
    """Try for so many seconds, or the one trial `only`."""
    tally, end = Tally(), time.monotonic() + seconds
    trial = 0 if only is None else only
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            refused = try_once(kind, Random(f"{seed}/{trial}"), Path(folder))
        tally.tried += 1
        if refused is None:
            tally.handled += 1
        elif refused.startswith("fault"):
            tally.faults.append((trial, refused))
        else:
            tally.refused += 1
        trial += 1
        if only is not None:
            break
    return tally


def try_once(kind: Kind, random: Random, folder: Path) -> str | None:
    """None where the input was handled; the sentence that refused it; or a text that begins with `fault`."""
    try:
        kind(random, folder)
    except (UserError, FileNotFoundError) as error:
        return _read(str(error))
    except Exception:
        return f"fault: {traceback.format_exc()}"
    return None


def _read(sentence: str) -> str:
    """The sentence, or the fault of one that nobody can read."""
    try:
        sentence.encode("utf-8")
    except UnicodeEncodeError:
        return f"fault: the sentence can't be printed: {sentence!r}"
    if not sentence or len(sentence) > _LONGEST:
        return f"fault: the sentence has {len(sentence):,} characters: {sentence[:200]}"
    return sentence
