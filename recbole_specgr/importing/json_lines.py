"""JSON-lines files, plain or gzip, read line by line in bounded memory."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.text_files import unpacked

_DECODE = json.JSONDecoder(strict=False).decode  # not strict: control characters inside texts are taken


def read_objects(
    path: Path,
    bad: Callable[[int, bytes, str], dict | None] | None = None,
    worth: Callable[[bytes], bool] = lambda line: True,
    progress: Callable[[int], None] = lambda position: None,
) -> Iterator[dict[str, Any]]:
    """The object of every line; blank lines are skipped.

    Args:
        bad: called with the number, the bytes and what is wrong of every line that is no JSON object; what it returns,
            if anything, takes the line's place. Without it such a line is an error.
        worth: says of a line, before it is parsed, whether it is wanted.
        progress: called now and then with the number of bytes of the file that were read.

    Raises:
        UserError: the file is cut short, is no gzip, or holds a line that is no JSON object.
    """
    bad = bad or _refuser(path)
    for number, line in read_lines(path, progress):
        if not worth(line):
            continue
        try:
            found = _DECODE(line.decode("utf-8"))
            wrong = None if isinstance(found, dict) else "no JSON object"
        except UnicodeDecodeError:
            wrong = "not UTF-8"
        except json.JSONDecodeError as error:
            if not line.endswith(b"\n"):
                raise cut_short(path, number) from error
            wrong = "not JSON"
        except ValueError:
            wrong = "JSON with a number of too many digits"
        except RecursionError:
            wrong = "JSON with lists or objects nested too deep"
        found = bad(number, line, wrong) if wrong else found
        if found is not None:
            yield found


def read_lines(path: Path, progress: Callable[[int], None] = lambda position: None) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and bytes of every line that is not blank.

    Raises:
        UserError: a gzip file that is none, is damaged, or is cut short.
    """
    number = 0
    try:
        with open(path, "rb") as raw, unpacked(raw, path) as file:
            for number, line in enumerate(file, start=1):
                if number % 4096 == 0:
                    progress(raw.tell())
                if not line.isspace():
                    yield number, line
            progress(raw.tell())
    except EOFError as error:
        raise cut_short(path, number + 1) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} could not be read after line {number:,}: {error}. Fetch it again.") from error


def cut_short(path: Path, number: int) -> UserError:
    return UserError(
        f"{path} could not be read: it is cut short in line {number:,}. Fetch the rest, or fetch it again."
    )


def _refuser(path: Path) -> Callable[[int, bytes, str], None]:
    def refuse(number: int, line: bytes, wrong: str) -> None:
        start = line[:40].decode("utf-8", "replace").rstrip()
        raise UserError(
            f"{path} could not be read: it must hold one JSON object a line, but line {number:,} is {wrong}: [{start}]."
            f" Put it right, or leave it out."
        )

    return refuse
