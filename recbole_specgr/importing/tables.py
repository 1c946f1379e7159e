"""Chosen columns of CSV, TSV, Parquet and JSON-lines files, plain or gzip, with the errors a person can act on."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.csv
import pyarrow.parquet as parquet

from recbole_specgr.importing.json_lines import read_objects
from recbole_specgr.system.errors import UserError

_DELIMITED = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_CHUNK = 100_000  # JSON rows looked at for the names of their columns, and rows held as objects at once

_BLOCK = 1 << 24  # bytes of a delimited file parsed at once

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
            names: dict[str, None] = {}
            for row in islice(read_objects(path), _CHUNK):
                names.update(dict.fromkeys(row))
            if not names:
                raise UserError(f"{path} is empty.")
            return list(names)
        return list(pd.read_csv(path, sep=_separator(path, kind), nrows=0, encoding="utf-8-sig").columns)


def read_table(
    path: Path, columns: Sequence[str], inferred: Sequence[str] = (), repeated: Sequence[str] = ()
) -> pd.DataFrame:
    """The named columns, in this order, each once.

    Values of delimited files are strings, missing ones NaN, except in the columns that are `inferred`, which take their
    type from the values. Texts of `repeated` columns become categories, except in JSON lines.

    Raises UserError when the file is broken or has no rows.
    """
    kind, columns = _kind(path), list(dict.fromkeys(columns))
    with _readable(path):
        if kind in _JSON_LINES:
            frame = _read_json_lines(path, columns)
        elif kind in _PARQUET:
            frame = _to_frame(parquet.read_table(path, columns=columns), repeated)
        else:
            frame = _to_frame(_read_delimited(path, kind, columns, inferred), repeated)
    if frame.empty:
        raise UserError(f"{path} has no rows.")
    return frame[columns]


def _read_delimited(path: Path, kind: str, columns: list[str], inferred: Sequence[str]) -> pyarrow.Table:
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
        parse_options=pyarrow.csv.ParseOptions(delimiter=_separator(path, kind), newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns,
            column_types={column: pyarrow.string() for column in columns if column not in inferred},
            null_values=sorted(MISSING),
            strings_can_be_null=True,
        ),
    )


def _to_frame(table: pyarrow.Table, repeated: Sequence[str]) -> pd.DataFrame:
    for number, field in enumerate(table.schema):
        # Here and not in the reader, which makes one dictionary a block.
        if field.name in repeated and pyarrow.types.is_string(field.type):
            table = table.set_column(number, field.name, table[number].dictionary_encode())
    return table.to_pandas()


def _read_json_lines(path: Path, columns: list[str]) -> pd.DataFrame:
    rows = read_objects(path)
    chunks = []
    while chunk := [[row.get(column) for column in columns] for row in islice(rows, _CHUNK)]:
        chunks.append(pd.DataFrame(chunk, columns=columns))
    return pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=columns)


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
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{path} could not be read: {reason}. {_advice(path, error)}") from error


def _advice(path: Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return f"Convert it to UTF-8, for example: iconv -f latin1 -t utf-8 {path.name} > utf8.csv"
    if path.suffix.lower() in (".gz", *_PARQUET):
        return "If it was fetched or copied, fetch it again: it is cut short or damaged."
    return "Put the line right, or leave it out."


def _separator(path: Path, kind: str) -> str:
    """Of a .csv the one that the header has most of; spreadsheets write semicolons and tabs into them too."""
    if kind != ".csv":
        return _DELIMITED[kind]
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        header = file.readline()
    return max(",;\t", key=header.count)
