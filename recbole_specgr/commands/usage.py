"""What all commands' `--help` have in common."""

import argparse
import sys
from pathlib import Path


def program(command: str) -> str:
    """How the user started a command, for `usage:` and examples.

    `python run_recbole.py`, `python scripts/study.py`, or `recbole-specgr <command>` where it was neither.
    """
    started = Path(sys.argv[0])
    if started.suffix != ".py" or started.name == "__main__.py":
        return f"recbole-specgr {command}"
    return f"python scripts/{started.name}" if started.parent.name == "scripts" else f"python {started.name}"


def new_parser(command: str, description: str, examples: str, more: str = "") -> argparse.ArgumentParser:
    """A parser whose `--help` ends with examples.

    Args:
        description: what the command does, in a sentence or two.
        examples: the words after the program, an example a line.
        more: a paragraph between the options and the examples.
    """
    lines = "\n".join(f"  {program(command)} {line}" for line in examples.strip().splitlines())
    return argparse.ArgumentParser(
        prog=program(command),
        description=description,
        epilog=f"{more}\n\nexamples:\n{lines}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
