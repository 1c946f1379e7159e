"""The program that trains a model in a process of its own, and what its commands look like in records."""

import shlex
import sys
from pathlib import Path

from recbole_specgr.settings.resources import PACKAGE

SCRIPT = "run_recbole.py"  # of a checkout
PROGRAM = "recbole-specgr"  # of an installed package
TRAIN = "train"  # its command, which may be left out


def training_program() -> list[str]:
    """The words before `--model=NAME` that start a training: a checkout's script, else the installed package."""
    script = PACKAGE.parent / SCRIPT
    return [sys.executable, str(script)] if script.is_file() else [sys.executable, "-m", PACKAGE.name, TRAIN]


def started_as(argv: list[str]) -> str:
    """The command line of this process as a record keeps it: without the path of the program."""
    name = Path(argv[0]).name
    return shlex.join([PROGRAM if name == "__main__.py" else name, *argv[1:]])


def training_words(command: str) -> list[str] | None:
    """The words after the program in a command that trained a model; None for another program's or command's."""
    words = shlex.split(command)
    if words and words[0] == "python":
        words = words[1:]
    if not words:
        return None
    program, *words = words
    if Path(program).name == SCRIPT:
        return words
    if Path(program).name != PROGRAM:
        return None
    if words and words[0] == TRAIN:
        return words[1:]
    return words if words and words[0].startswith("-") else None


def training_command(words: list[str], recorded: str) -> str:
    """The command with these words, by the program that `recorded` was made with."""
    script = Path(shlex.split(recorded)[0]).name == SCRIPT
    return shlex.join([*(["python", SCRIPT] if script else [PROGRAM, TRAIN]), *words])
