"""The entry of every command: `recbole-specgr`, `python -m recbole_specgr`, and the scripts of a checkout."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from recbole_specgr import __version__
from recbole_specgr.system.allocator import keep_freed_memory
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.interruption import EXIT_STATUS, Terminated
from recbole_specgr.system.quiet import quiet_torch

# Name -> what it does. The file of that name in this folder holds the command.
COMMANDS = {
    "train": "train a model and evaluate it; the same as to name no command",
    "import-data": "make a data set of a file of interactions and a file of items",
    "prepare-amazon": "make a data set of a category of Amazon Reviews 2023",
    "tokenize": "make semantic ids of a data set's items, and report how good they are",
    "search": "search the best settings of a model",
    "table": "train every row of the leaderboard",
    "study": "run a study, such as an ablation, and show its tables",
    "leaderboard": "show the results of a data set, collect runs, draw tables and page",
    "reproduce": "make a row of the leaderboard again and compare it",
    "recommend": "lists for a file of histories, from a finished run",
    "add-items": "make new items known to a finished run, without training",
    "remove-items": "recommend items no more",
    "show": "a user's history, and what is recommended next",
    "explain": "why an item is recommended to a user, or why not",
    "export": "write a finished run as files for others",
    "import-run": "make a run of such files",
}

USAGE = """\
usage: recbole-specgr COMMAND ...
       recbole-specgr --model=NAME [--dataset=NAME] [--config_files FILE ...] [--KEY=VALUE ...]    (which is train)

commands, each with --help:
{commands}

  --list-models   the names --model takes
  --version       the version
  --debug         show the traceback of an error (or set RECBOLE_SPECGR_DEBUG=1)

from a file of interactions to a leaderboard:
  recbole-specgr import-data --interactions ratings.csv --items films.csv --name my_data
  recbole-specgr train --model=SASRec --dataset=my_data
  recbole-specgr train --model=SpecGRPP --dataset=my_data
  recbole-specgr leaderboard --dataset=my_data
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the words after the program's name; None takes them from `sys.argv`.

    Returns:
        The exit status of the process: 0; 1 where the work was done and did not succeed (a run that failed, a row that
        did not reproduce, a file that can't be imported); 2 for a mistake in the words or settings; 130 after Ctrl-C;
        143 after SIGTERM.
    """
    words = sys.argv[1:] if argv is None else argv
    keep_freed_memory()
    quiet_torch()
    return exit_status(lambda: _run(words), "--debug" in words)


def exit_status(run: Callable[[], int], debug: bool = False) -> int:
    """What `run` returns, or the status that stands for its error, which is printed in a sentence."""
    debug = debug or os.environ.get("RECBOLE_SPECGR_DEBUG", "0") not in ("", "0")
    try:
        return run()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Terminated:
        return EXIT_STATUS
    except (ValueError, OSError) as error:
        if not _is_ours(error) and not _is_of_a_file(error):
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {_sentence(error)}", file=sys.stderr)
        if not isinstance(error, UserError) and not debug:
            print("(--debug shows where)", file=sys.stderr)
        return 2


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print(__version__)
        return 0
    if not words or words in (["--help"], ["-h"]):
        lines = [f"  {name:16}{what}" for name, what in COMMANDS.items()]
        print(USAGE.format(commands="\n".join(lines)), end="")
        return 0 if words else 2
    name, rest = ("train", words) if words[0].startswith("-") else (words[0], words[1:])
    if name not in COMMANDS:
        begun = [f"[{command}]" for command in COMMANDS if command.startswith(f"{name}-")]
        hint = f" Did you mean {' or '.join(begun)}?" if begun else did_you_mean(name, COMMANDS)
        raise UserError(
            f"There is no command [{name}].{hint} The commands are {', '.join(COMMANDS)}. "
            f"Settings are written --key=value."
        )
    command = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
    return command.run(rest)


def _is_ours(error: Exception) -> bool:
    """The error is about what the user gave: raised by this package itself and not from the depth of a library."""
    if isinstance(error, UserError):
        return True
    file = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(file).is_relative_to(Path(__file__).resolve().parents[1])


def _is_of_a_file(error: Exception) -> bool:
    """The file system refused a file: it is not there, may not be read or written, or the disk is full."""
    return isinstance(error, OSError) and error.errno is not None and error.filename is not None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and _is_of_a_file(error):
        return f"{error.filename} can't be read or written: {error.strerror}."
    return str(error)
