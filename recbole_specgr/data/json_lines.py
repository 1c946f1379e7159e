"""JSON-lines files, plain or gzip, read line by line in bounded memory."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from recbole_specgr.errors import UserError

_BOM = b"\xef\xbb\xbf"
_BUFFER = 1 << 20
_DECODE = json.JSONDecoder(strict=False).decode  # not strict: control characters inside texts are taken


def read_objects(path: Path, bad: Callable[[int, bytes, str], None] | None = None) -> Iterator[dict[str, Any]]:
    """The object of every line; blank lines are skipped.

    Args:
        bad: called with the number, the bytes and what is wrong of every line that is no JSON object; without it such
            a line is an error.

    Raises:
        UserError: the file is cut short, is no gzip, or holds a line that is no JSON object.
    """
    refuse = bad or _refuser(path)
    for number, line in read_lines(path):
        try:
            found = _DECODE(line.decode("utf-8"))
        except ValueError as error:  # also of bytes that are not UTF-8
            if not line.endswith(b"\n") and not isinstance(error, UnicodeDecodeError):
                raise cut_short(path, number) from error
            refuse(number, line, "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not JSON")
            continue
        if isinstance(found, dict):
            yield found
        else:
            refuse(number, line, "no JSON object")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and bytes of every line that is not blank.

    Raises:
        UserError: a gzip file that is none, is damaged, or is cut short.
    """
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(_BOM)
                if not line.isspace():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if isinstance(error, EOFError):
            raise cut_short(path, number + 1) from error
        raise UserError(f"{path} could not be read after line {number:,}: {error}. Fetch it again.") from error


def cut_short(path: Path, number: int) -> UserError:
    return UserError(
        f"{path} could not be read: it is cut short in line {number:,}. Fetch the rest, or fetch it again."
    )


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"), _BUFFER)
    return open(path, "rb", buffering=_BUFFER)


def _refuser(path: Path) -> Callable[[int, bytes, str], None]:
    def refuse(number: int, line: bytes, what: str) -> None:
        start = line[:40].decode("utf-8", "replace").rstrip()
        raise UserError(
            f"{path} could not be read: it must hold one JSON object a line, but line {number:,} is {what}: [{start}]."
        )

    return refuse
