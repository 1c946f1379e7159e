"""Chosen columns of CSV, TSV, Parquet and JSON-lines files, plain or gzip, with the errors a person can act on."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet as parquet

from recbole_specgr.errors import UserError

_DELIMITED = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_CHUNK = 100_000  # JSON rows parsed at once, and rows looked at for the names of their columns

#: What pandas, and so RecBole, reads as "no value" in a text file.
MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
        *("-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    }
)


def column_names(path: Path) -> list[str]:
    """The names of the columns. Raises FileNotFoundError, or UserError for a file that is not what its name says."""
    kind = _kind(path)
    with _readable(path):
        if kind in _PARQUET:
            return list(parquet.read_schema(path).names)
        if kind in _JSON_LINES:
            _check_json_lines(path)
            return list(next(_json_chunks(path), pd.DataFrame()).columns)
        return list(pd.read_csv(path, sep=_separator(path, kind), nrows=0, encoding="utf-8-sig").columns)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns, in this order, each once. Values of text files are strings, missing ones NaN.

    Raises UserError when the file is broken or has no rows.
    """
    kind, columns = _kind(path), list(dict.fromkeys(columns))
    with _readable(path):
        if kind in _PARQUET:
            frame = parquet.read_table(path, columns=columns).to_pandas()
        elif kind in _JSON_LINES:
            frame = pd.concat([chunk.reindex(columns=columns) for chunk in _json_chunks(path)], ignore_index=True)
        else:
            separator = _separator(path, kind)
            frame = pd.read_csv(path, sep=separator, usecols=columns, dtype=str, encoding="utf-8-sig")
    if frame.empty:
        raise UserError(f"{path} has no rows.")
    return frame[columns]


def _kind(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if compressed else suffixes)[-1:]
    known = [*_DELIMITED, *_JSON_LINES, *_PARQUET]
    if not kind or kind[0] not in known or (compressed and kind[0] in _PARQUET):
        raise UserError(f"{path}: the name must end in one of {', '.join(known)}, all but Parquet also with .gz.")
    return kind[0]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the readers raise on an empty or broken file into one kind of error."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty.") from error
    except UserError:
        raise
    except (ValueError, EOFError, OSError, zlib.error, pyarrow.ArrowException) as error:
        raise UserError(f"{path} could not be read: {str(error).splitlines()[0]}") from error


def _separator(path: Path, kind: str) -> str:
    """Of a .csv the one that the header has most of; spreadsheets write semicolons and tabs into them too."""
    if kind != ".csv":
        return _DELIMITED[kind]
    with _open(path) as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _check_json_lines(path: Path) -> None:
    with _open(path) as file:
        start = next((line.lstrip() for line in file if line.strip()), "")
    if not start:
        raise UserError(f"{path} is empty.")
    if not start.startswith("{"):
        raise UserError(f"{path} must hold one JSON object a line, but it starts with [{start[:40].rstrip()}].")


def _open(path: Path):
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig")


def _json_chunks(path: Path) -> Iterator[pd.DataFrame]:
    with pd.read_json(path, lines=True, chunksize=_CHUNK, dtype=False, convert_dates=False) as reader:
        yield from reader
