"""Chosen columns of CSV, TSV, Parquet and JSON-lines files, plain or gzip, with the errors a person can act on.

No value changes on the way: texts stay texts, and whole numbers stay exact, whatever else their column holds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from logging import getLogger
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.csv
import pyarrow.parquet as parquet

from recbole_specgr.data.ids import MISSING
from recbole_specgr.importing.json_lines import read_objects
from recbole_specgr.system.delimited import SEPARATORS, look_through, read_records, separator_of
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import check_is_file
from recbole_specgr.system.text_files import conversion, unpacked

JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
_CHUNK = 100_000  # rows looked at for the names of JSON columns, and rows held as objects at once
_BLOCK = 1 << 24  # bytes of a delimited file parsed at once
_EXACT_INTEGERS = {
    getattr(pyarrow, kind.lower())(): getattr(pd, f"{kind}Dtype")()
    for kind in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
}
SPANNED = "kept: line breaks inside quoted fields"


def kind_of(path: Path) -> str:
    """The suffix that says what the file is, without .gz. Raises FileNotFoundError, or UserError for another one."""
    check_is_file(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compressed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if compressed else suffixes)[-1:]
    known = [*SEPARATORS, *JSON_LINES, *PARQUET]
    if not kind or kind[0] not in known or (compressed and kind[0] in PARQUET):
        raise UserError(f"{path}: the name must end in one of {', '.join(known)}, all but Parquet also with .gz.")
    return kind[0]


def column_names(path: Path, rows: int = _CHUNK) -> list[str]:
    """The names of the columns; of JSON lines those in the first `rows`.

    Raises FileNotFoundError, or UserError for a file that is not what its name says.
    """
    kind = kind_of(path)
    with _readable(path):
        if kind in PARQUET:
            names = list(parquet.read_schema(path).names)
        elif kind in JSON_LINES:
            names = list({name: None for row in islice(read_objects(path), rows) for name in row})
        else:
            header = next(read_records(path, separator_of(path, kind)), None)
            names = header.cells if header else []
    if not names:
        raise UserError(f"{path} is empty.")
    return names


def read_table(
    path: Path,
    columns: Sequence[str],
    repeated: Sequence[str] = (),
    numbers: Sequence[str] = (),
    counts: dict[str, int] | None = None,
) -> pd.DataFrame:
    """The named columns, in this order, each once.

    Values of delimited files are texts, missing ones None or NaN. Whole numbers of Parquet files are pandas' nullable
    integers, values of JSON lines Python's own.

    Args:
        repeated: columns whose texts become categories, except in JSON lines.
        numbers: columns of delimited files whose texts become whole numbers where all of them are such.
        counts: takes the number of line breaks inside quoted fields, where there are any.

    Raises:
        UserError: the file is broken, has no rows, or has two columns of a name that is asked for.
    """
    kind, columns = kind_of(path), list(dict.fromkeys(columns))
    with _readable(path):
        if kind in JSON_LINES:
            frame = _read_json_lines(path, columns)
        elif kind in PARQUET:
            frame = _to_frame(parquet.read_table(path, columns=columns), repeated)
        else:
            table = _read_delimited(path, separator_of(path, kind), columns, counts)
            frame = _to_frame(_with_numbers(table, numbers), repeated)
    if frame.empty:
        raise UserError(f"{path} has no rows.")
    return frame[columns]


# ---- delimited files -------------------------------------------------------------------------------------------------


def _read_delimited(path: Path, separator: str, columns: list[str], counts: dict[str, int] | None) -> pyarrow.Table:
    """A table of texts. Arrow reads files without quotes, for it is faster; it is not strict about quotes."""
    names = next(read_records(path, separator)).cells
    twice = [column for column in columns if names.count(column) > 1]
    if twice:
        raise UserError(f"{path} has {names.count(twice[0])} columns named [{twice[0]}]. Rename all but one.")
    has_quotes, whole_lines = look_through(path)
    table = (_with_quotes if has_quotes else _without_quotes)(path, separator, columns, names, counts)
    if names[-1] in columns and not whole_lines:
        _warn_of_cut_end(path, table[names[-1]].to_pandas(), names[-1])
    return table


def _without_quotes(
    path: Path, separator: str, columns: list[str], names: list[str], counts: dict[str, int] | None
) -> pyarrow.Table:
    with open(path, "rb") as raw, unpacked(raw, path) as file:
        return pyarrow.csv.read_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pyarrow.string()),
                null_values=sorted(MISSING),
                strings_can_be_null=True,
            ),
        )


def _with_quotes(
    path: Path, separator: str, columns: list[str], names: list[str], counts: dict[str, int] | None
) -> pyarrow.Table:
    places = [names.index(column) for column in columns]
    records = read_records(path, separator)
    next(records)  # the header
    schema = pyarrow.schema([(column, pyarrow.string()) for column in columns])
    batches, spanned = [], 0
    while chunk := list(islice(records, _CHUNK)):
        spanned += sum(record.lines - 1 for record in chunk)
        cells = [
            [None if record.cells[place] in MISSING else record.cells[place] for record in chunk] for place in places
        ]
        batches.append(pyarrow.record_batch([pyarrow.array(column, "string") for column in cells], schema=schema))
    if spanned and counts is not None:
        counts[SPANNED] = counts.get(SPANNED, 0) + spanned
    return pyarrow.Table.from_batches(batches, schema)


def _with_numbers(table: pyarrow.Table, columns: Sequence[str]) -> pyarrow.Table:
    for column in columns:
        try:
            numbers = table[column].cast(pyarrow.int64())
        except pyarrow.ArrowInvalid:  # some text is another than that of a whole number of 64 bits
            continue
        table = table.set_column(table.schema.get_field_index(column), column, numbers)
    return table


def _warn_of_cut_end(path: Path, texts: pd.Series, column: str) -> None:
    """Warn of a last line that may be cut within it: its number, the last cell of the file, is shorter than all others.

    Args:
        texts: the last column of a file that doesn't end with a line break.
    """
    last, others = str(texts.iloc[-1]) if len(texts) else "", texts.iloc[:-1]
    if last.isdecimal() and len(others) and (others.str.len() > len(last)).all():
        getLogger().warning(
            f"{path} ends without a line break, and its last value [{last}] in [{column}] is shorter than all others: "
            f"it may be cut short. If it was fetched or copied, compare its size with the original's."
        )


def _to_frame(table: pyarrow.Table, repeated: Sequence[str]) -> pd.DataFrame:
    for number, field in enumerate(table.schema):
        # Here and not in the reader, which makes one dictionary a block.
        if field.name in repeated and pyarrow.types.is_string(field.type):
            table = table.set_column(number, field.name, table[number].dictionary_encode())
    # Without this a column of whole numbers with a gap would become one of floats, which are exact to 2^53 only.
    # What pandas notes of its own in a Parquet file would take columns away for an index, and may be damaged.
    return table.replace_schema_metadata(None).to_pandas(types_mapper=_EXACT_INTEGERS.get)


# ---- JSON lines ------------------------------------------------------------------------------------------------------


def _read_json_lines(path: Path, columns: list[str]) -> pd.DataFrame:
    """Columns of Python's own objects: pandas would make floats of whole numbers beside a gap."""
    rows = read_objects(path)
    chunks = []
    while chunk := [[row.get(column) for column in columns] for row in islice(rows, _CHUNK)]:
        chunks.append(pd.DataFrame(chunk, columns=columns, dtype=object))
    return pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=columns)


# ---- errors ----------------------------------------------------------------------------------------------------------


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the readers raise on a broken file into one kind of error."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, EOFError, OSError, zlib.error, pyarrow.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"{path} could not be read: {reason}. {_advice(path, error)}") from error


def _advice(path: Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return f"Convert it to UTF-8, for example: {conversion(path)}"
    if path.suffix.lower() in (".gz", *PARQUET):
        return "If it was fetched or copied, fetch it again: it is cut short or damaged."
    return "Put the line right, or leave it out."
