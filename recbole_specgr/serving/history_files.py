"""Files of histories read, and files of recommendations written, in pieces: millions of users in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow
import pyarrow.parquet as parquet

from recbole_specgr.importing.json_lines import read_objects
from recbole_specgr.importing.tables import column_names, read_table
from recbole_specgr.serving.recommendations import Recommendations
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

USER_COLUMNS = ("user_id", "user")
HISTORY_COLUMNS = ("history", "item_id_list", "items")
_DELIMITED = {".csv": ",", ".tsv": "\t"}
_CELL = 1 << 30  # characters of a history at most; the csv module's own limit is 131,072


class Piece(NamedTuple):
    """Some users of a file.

    Attributes:
        users: their names; their numbers in the file, from 0, where it names none.
        histories: item tokens, the latest last.
        done: share of the file that has been read.
    """

    users: list[str]
    histories: list[list[str]]
    done: float


def read_histories(path: Path, size: int) -> Iterator[Piece]:
    """The users of a CSV, TSV, JSON-lines (these also with .gz) or Parquet file, `size` at a time.

    A row is a user: a column `history` (or `item_id_list`, `items`), in delimited files with blanks between the items,
    else a list or such a text; and, if users are to be named, `user_id` (or `user`).

    Raises:
        FileNotFoundError: there is no such file.
        UserError: another kind of file, a broken one, or one without a column of histories.
    """
    names = _names(path)
    history = next((name for name in HISTORY_COLUMNS if name in names), None)
    if history is None:
        raise UserError(
            f"{path} has no column {' or '.join(HISTORY_COLUMNS)}, which holds the histories; its columns are "
            f"{', '.join(map(str, names))}. A row is a user, its history the items with blanks between them (or a "
            f"list), the latest last."
        )
    user = next((name for name in USER_COLUMNS if name in names), None)
    count = 0
    for rows, done in _rows(path, [name for name in (user, history) if name], size):
        users = [row[0] for row in rows] if user else range(count, count + len(rows))
        yield Piece([str(name) for name in users], [_tokens(row[-1]) for row in rows], done)
        count += len(rows)


def read_items_file(path: Path, item_field: str) -> list[str]:
    """Item tokens: the lines of a .txt file, or the column of the items in a table."""
    if path.suffix == ".txt":
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}.")
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = column_names(path)
    column = next((name for name in names if str(name).partition(":")[0] == item_field), None)
    if column is None:
        raise UserError(f"{path} has no column [{item_field}]; its columns are {', '.join(map(str, names))}.")
    return [str(token) for token in read_table(path, [column])[column]]


def _names(path: Path) -> list[str]:
    """The names of the columns; of JSON lines those in the first rows."""
    if not {".jsonl", ".ndjson", ".json"} & set(path.suffixes) or not path.is_file():
        return column_names(path)
    return list({name: None for row in islice(read_objects(path), 100) for name in row})


def _rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    kind = next(suffix for suffix in reversed(path.suffixes) if suffix != ".gz").lower()
    if kind in _DELIMITED:
        return _delimited_rows(path, columns, size, _DELIMITED[kind])
    if kind in (".parquet", ".pq"):
        return _parquet_rows(path, columns, size)
    return _json_rows(path, columns, size)


def _delimited_rows(path: Path, columns: list[str], size: int, separator: str) -> Iterator[tuple[list[tuple], float]]:
    total = max(1, path.stat().st_size)
    csv.field_size_limit(max(csv.field_size_limit(), _CELL))
    with open(path, "rb") as raw, _plain(raw, path) as plain:
        lines = csv.reader(io.TextIOWrapper(plain, "utf-8-sig", newline=""), delimiter=separator, strict=True)
        try:
            filled = filter(None, lines)
            names = next(filled)
            places = [names.index(name) for name in columns]
            full = (_full(line, names, path, lines.line_num) for line in filled)
            while rows := [tuple(line[place] for place in places) for line in islice(full, size)]:
                yield rows, raw.tell() / total
        except (csv.Error, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path} can't be read after line {lines.line_num}: {error}.") from error


def _full(line: list[str], names: list[str], path: Path, number: int) -> list[str]:
    if len(line) != len(names):
        raise UserError(
            f"{path}: line {number} has {len(line)} columns, the first line {len(names)} ({', '.join(names)}). "
            f"Does a history hold the separator? It takes blanks between its items."
        )
    return line


def _plain(raw: IO[bytes], path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    return gzip.open(raw) if path.suffix == ".gz" else contextlib.nullcontext(raw)


def _parquet_rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    with parquet.ParquetFile(path) as file:
        total, done = max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(size, columns=columns):
            done += len(batch)
            yield list(zip(*(batch.column(name).to_pylist() for name in columns))), done / total


def _json_rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    total, position = max(1, path.stat().st_size), [0]
    objects = read_objects(path, progress=lambda at: position.__setitem__(0, at))
    while rows := [tuple(row.get(name) for name in columns) for row in islice(objects, size)]:
        yield rows, min(1.0, position[0] / total)


def _tokens(history: Any) -> list[str]:
    if history is None:
        return []
    if isinstance(history, str):
        return history.split()
    return [str(token) for token in history] if isinstance(history, Iterable) else [str(history)]


# -- what is written ---------------------------------------------------------------------------------------------------

Write = Callable[[list[str], Recommendations], None]


@contextlib.contextmanager
def recommendations_file(path: Path | None) -> Iterator[Write]:
    """A function that appends users and their lists to `path`; the file is there when all is written.

    .csv and .tsv have a row an item (user_id, rank, item_id, score, round), .jsonl and .parquet a row a user (user_id,
    items, scores, rounds). None prints JSON lines.

    Raises:
        UserError: a name that ends in none of these.
    """
    if path is None:
        yield lambda users, found: sys.stdout.writelines(_json_lines(users, found))
        return
    writers = {".jsonl": _json_writer, ".parquet": _parquet_writer, ".csv": _csv_writer, ".tsv": _csv_writer}
    if path.suffix not in writers:
        raise UserError(f"{path}: the name must end in one of {', '.join(writers)}.")
    with atomic_write(path) as temporary, writers[path.suffix](temporary) as write:
        yield write


def _records(users: list[str], found: Recommendations) -> Iterator[dict[str, Any]]:
    for user, items, scores, rounds in zip(users, found.items, found.scores, found.rounds):
        numbers = [None if score != score else score for score in scores[: len(items)].tolist()]
        record = {"user_id": user, "items": items, "scores": numbers}
        yield record | ({"rounds": rounds[: len(items)].tolist()} if (rounds >= 0).any() else {})


def _json_lines(users: list[str], found: Recommendations) -> Iterator[str]:
    return (json.dumps(record, ensure_ascii=False) + "\n" for record in _records(users, found))


@contextlib.contextmanager
def _json_writer(path: Path) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8") as file:
        yield lambda users, found: file.writelines(_json_lines(users, found))


@contextlib.contextmanager
def _csv_writer(path: Path) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=_DELIMITED[path.suffix], lineterminator="\n")
        writer.writerow(["user_id", "rank", "item_id", "score", "round"])

        def write(users: list[str], found: Recommendations) -> None:
            rows = found.frame(users).itertuples(index=False)
            writer.writerows(["" if cell != cell else cell for cell in row] for row in rows)

        yield write


@contextlib.contextmanager
def _parquet_writer(path: Path) -> Iterator[Write]:
    schema = pyarrow.schema(
        {
            "user_id": pyarrow.string(),
            "items": pyarrow.list_(pyarrow.string()),
            "scores": pyarrow.list_(pyarrow.float64()),
            "rounds": pyarrow.list_(pyarrow.int64()),
        }
    )
    with parquet.ParquetWriter(path, schema) as writer:
        yield lambda users, found: writer.write_table(pyarrow.Table.from_pylist(list(_records(users, found)), schema))
