"""Text files as people have them, plain or gzip: their bytes, or what to do about another encoding."""

from __future__ import annotations

import gzip
import io
import shlex
from pathlib import Path
from typing import Any, BinaryIO

from recbole_specgr.system.errors import UserError

BUFFER = 1 << 20
_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def unpacked(raw: BinaryIO, path: Path) -> BinaryIO:
    """The bytes of the file `path`, opened as `raw`: unpacked where its name ends in .gz, after a byte order mark.

    Raises:
        UserError: the file is UTF-16.
        EOFError, gzip.BadGzipFile, zlib.error: as the reader of gzip does.
    """
    packed = path.suffix.lower() == ".gz"
    bytes_of_it: Any = gzip.GzipFile(fileobj=raw) if packed else raw
    file = io.BufferedReader(bytes_of_it, BUFFER)
    start = file.peek(4)[:4]
    if start.startswith(_UTF16_MARKS) or 0 in start[:2]:
        raise UserError(
            f"{path} could not be read: it is UTF-16, not UTF-8. Convert it, for example: {conversion(path, 'utf-16')}"
        )
    if start.startswith(_UTF8_MARK):
        file.read(len(_UTF8_MARK))
    return file


def conversion(path: Path, encoding: str = "latin1") -> str:
    """The command that makes a file in `encoding` UTF-8, to be pasted."""
    name, plain = shlex.quote(str(path)), Path(path.name.removesuffix(".gz"))
    read = f"gunzip -c {name} | iconv" if path.suffix.lower() == ".gz" else f"iconv {name}"
    return f"{read} -f {encoding} -t utf-8 > utf8{plain.suffix}"
