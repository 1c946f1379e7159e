"""Delimited text (CSV, TSV, RecBole's atomic files), read so that a stray quote can't swallow the rows after it.

A field that begins with a quote ends with one, before a separator or the end of a line; a quote inside it is written
twice. Most readers take anything else for granted, and so put many rows into one field. Here it is an error with its
line.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.text_files import BUFFER, conversion, unpacked

SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_LONGEST_FIELD = 1 << 30  # characters; the csv module's own limit is 131,072


@dataclass
class Record:
    """One row: the number of its first line, from 1, its cells, and how many lines they span."""

    line: int
    cells: list[str]
    lines: int


def separator_of(path: Path, kind: str) -> str:
    """What separates the cells of a file of a `kind` of SEPARATORS.

    Of a .csv it is the one that the header has most of: spreadsheets write semicolons and tabs into them, too.
    """
    if kind != ".csv":
        return SEPARATORS[kind]
    with open(path, "rb") as raw, unpacked(raw, path) as file:
        header = file.readline()
    return max(",;\t", key=lambda separator: header.count(separator.encode()))


def look_through(path: Path) -> tuple[bool, bool]:
    """Whether there is a quote anywhere in the file, and whether it ends with a line break. Raises what `unpacked` and
    the reader of gzip raise."""
    quotes, last = False, b""
    with open(path, "rb") as raw, unpacked(raw, path) as file:
        while block := file.read(BUFFER):
            quotes, last = quotes or b'"' in block, block[-1:]
    return quotes, last in (b"", b"\r", b"\n")


def read_records(
    path: Path, separator: str, progress: Callable[[int], None] = lambda position: None
) -> Iterator[Record]:
    """Every row that is not blank, the header first; all have as many cells as the header.

    Args:
        progress: called now and then with the number of bytes of the file that were read.

    Raises:
        UserError: a stray quote, a row with more or fewer cells, bytes that are not UTF-8, a file that is cut short or
            damaged. The message names the line.
    """
    width = 0
    for record in _records(path, separator, progress):
        width = width or len(record.cells)
        if len(record.cells) != width:
            raise UserError(
                f"{path} could not be read: line {record.line:,} has {len(record.cells)} columns, the first line "
                f"{width}. Put the line right, or leave it out."
            )
        yield record


def lines_in_fields(path: Path, separator: str) -> int:
    """How many lines quoted fields put into the row before. Raises UserError as `read_records` does, but does not look
    at the number of cells."""
    try:
        has_quotes, _ = look_through(path)
    except OSError as error:
        raise UserError(f"{path} could not be read: {error}.") from error
    if not has_quotes:
        return 0
    return sum(record.lines - 1 for record in _records(path, separator, lambda position: None))


def _records(path: Path, separator: str, progress: Callable[[int], None]) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    line, number = 0, 0
    try:
        with open(path, "rb") as raw, unpacked(raw, path) as file:
            reader = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""), delimiter=separator, strict=True)
            for count, cells in enumerate(reader, start=1):
                line, number = number + 1, reader.line_num
                if count % 4096 == 0:
                    progress(raw.tell())
                if cells:
                    yield Record(line, cells, number - line + 1)
            progress(raw.tell())
    except csv.Error as error:
        raise UserError(
            f"{path} could not be read: {_stray_quote(str(error), number + 1, reader.line_num, separator)} Put the "
            f"line right: a quote inside a quoted field is written twice. Or leave it out."
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} could not be read: line {_first_not_utf8(path):,} is not UTF-8. Convert it to UTF-8, for example: "
            f"{conversion(path)}"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path} could not be read after line {number:,}: {error}. If it was fetched or copied, fetch it again: it "
            f"is cut short or damaged."
        ) from error


def _first_not_utf8(path: Path) -> int:
    """The number of the first line that is not UTF-8. The reader takes thousands of bytes at once: it does not know."""
    before = 0
    with open(path, "rb") as raw, unpacked(raw, path) as file, suppress(UnicodeDecodeError):
        for line in file:
            line.decode("utf-8")
            before += 1
    return before + 1


def _stray_quote(reason: str, first: int, last: int, separator: str) -> str:
    if "end of data" in reason:
        return f"a quoted field in the row that begins in line {first:,} is never closed."
    if "expected after" in reason:
        name = "tab" if separator == "\t" else separator
        return (
            f"a quoted field in the row that begins in line {first:,} ends in line {last:,}, but neither [{name}] nor "
            f"the end of the line follows its last quote."
        )
    return f"line {last:,}: {reason}."
