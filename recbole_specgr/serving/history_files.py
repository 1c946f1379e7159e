"""Files of histories read, and files of recommendations written, in pieces: millions of users in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet as parquet

from recbole_specgr.data.ids import MISSING, read_id_lines, read_ids
from recbole_specgr.importing.json_lines import read_objects
from recbole_specgr.importing.tables import JSON_LINES, PARQUET, column_names, kind_of, read_table
from recbole_specgr.serving.recommendations import Recommendations
from recbole_specgr.system.delimited import read_records, separator_of
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

USER_COLUMNS = ("user_id", "user")
HISTORY_COLUMNS = ("history", "item_id_list", "items")
TIME_COLUMNS = ("times", "timestamp_list")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}  # of the files that are written
_NAMES_IN = 100  # rows of JSON lines that are looked at for the names of the columns


class Piece(NamedTuple):
    """Some users of a file.

    Attributes:
        users: their names; their numbers in the file, from 0, where it names none.
        histories: item tokens, the latest last.
        times: of these items, as they stand in the file; None where it has no column of times.
        done: share of the file that has been read.
    """

    users: list[str]
    histories: list[list[str]]
    times: list[list[Any]] | None
    done: float


def read_histories(path: Path, size: int) -> Iterator[Piece]:
    """The users of a CSV, TSV, JSON-lines (these also with .gz) or Parquet file, `size` at a time.

    A row is a user: a column `history` (or `item_id_list`, `items`), in delimited files with blanks between the items,
    else a list or such a text; if users are to be named, `user_id` (or `user`); and, if the items' times are known,
    `times` (or `timestamp_list`), likewise blanks between them or a list. Ids are read as `data.ids` says.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: another kind of file, a broken one, one without a column of histories, a user without a name, or an
            id that can't be one.
    """
    names = column_names(path, _NAMES_IN)
    plain = {str(name).partition(":")[0]: name for name in reversed(names)}  # a name may carry RecBole's type
    history = next((plain[name] for name in HISTORY_COLUMNS if name in plain), None)
    if history is None:
        raise UserError(
            f"{path} has no column {' or '.join(HISTORY_COLUMNS)}, which holds the histories; its columns are "
            f"{', '.join(map(str, names))}. A row is a user, its history the items with blanks between them (or a "
            f"list), the latest last."
        )
    user = next((plain[name] for name in USER_COLUMNS if name in plain), None)
    times = next((plain[name] for name in TIME_COLUMNS if name in plain), None)
    columns = [name for name in (history, user, times) if name is not None]
    count = 0
    for rows, done in _rows(path, columns, size):
        numbers = range(count, count + len(rows))
        users = list(map(str, numbers))
        if user is not None:
            users = [_user(row[columns.index(user)], path, number) for row, number in zip(rows, numbers)]
        histories = [_history(row[0], path, number) for row, number in zip(rows, numbers)]
        yield Piece(users, histories, None if times is None else [_entries(row[-1]) for row in rows], done)
        count += len(rows)


def read_items_file(path: Path, item_field: str) -> list[str]:
    """Item ids: the lines of a .txt file, or the column of the items in a table.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: another kind of file, a broken one, one without that column, or an entry that is no id.
    """
    if path.suffix == ".txt":
        return read_id_lines(path)
    names = column_names(path)
    column = next((name for name in names if str(name).partition(":")[0] == item_field), None)
    if column is None:
        raise UserError(f"{path} has no column [{item_field}]; its columns are {', '.join(map(str, names))}.")
    tokens = read_ids(read_table(path, [column])[column], f"{path}, column [{column}], row")
    if "" in tokens:
        raise UserError(f"{path}, row {tokens.index('') + 1:,} has no [{column}]. Name the item, or leave the row out.")
    return tokens


def _user(cell: Any, path: Path, number: int) -> str:
    (user,) = read_ids([cell], f"{path}, row {number + 1:,}, user")
    if not user:
        raise UserError(
            f"{path}, row {number + 1:,} has a history, but no user. Name the user, or leave the column of users out: "
            f"they are numbered then."
        )
    return user


def _history(cell: Any, path: Path, number: int) -> list[str]:
    """The ids of a history, "" where a list has an entry that is none."""
    return read_ids(_entries(cell), f"{path}, row {number + 1:,}, entry")


def _entries(cell: Any) -> list[Any]:
    """The entries of a cell that holds several."""
    if cell is None or cell != cell or (isinstance(cell, str) and cell.strip() in MISSING):
        return []
    if isinstance(cell, str):
        return cell.split()
    return cell if isinstance(cell, list) else [cell]


def _rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    """`size` rows of the `columns` at a time, and the share of the file that has been read."""
    kind = kind_of(path)
    if kind in PARQUET:
        return _parquet_rows(path, columns, size)
    if kind in JSON_LINES:
        return _json_rows(path, columns, size)
    return _delimited_rows(path, columns, size, separator_of(path, kind))


def _delimited_rows(path: Path, columns: list[str], size: int, separator: str) -> Iterator[tuple[list[tuple], float]]:
    total, position = max(1, path.stat().st_size), [0]
    records = read_records(path, separator, progress=lambda at: position.__setitem__(0, at))
    names = next(records).cells
    places = [names.index(name) for name in columns]
    while rows := [tuple(record.cells[place] for place in places) for record in islice(records, size)]:
        yield rows, min(1.0, position[0] / total)


def _parquet_rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    try:
        with parquet.ParquetFile(path) as file:
            total, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches(size, columns=columns):
                done += len(batch)
                yield list(zip(*(batch.column(name).to_pylist() for name in columns))), done / total
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"{path} could not be read: {str(error).splitlines()[0]} It is damaged or cut short: fetch it again."
        ) from error


def _json_rows(path: Path, columns: list[str], size: int) -> Iterator[tuple[list[tuple], float]]:
    total, position = max(1, path.stat().st_size), [0]
    objects = read_objects(path, progress=lambda at: position.__setitem__(0, at))
    others = {*HISTORY_COLUMNS, *USER_COLUMNS, *TIME_COLUMNS} - {name.partition(":")[0] for name in columns}
    count = 0
    while found := list(islice(objects, size)):
        for number, row in enumerate(found, count + 1):
            late = [name for name in row if name.partition(":")[0] in others]
            if late and number > _NAMES_IN:
                raise UserError(
                    f"{path}, row {number:,} has [{late[0]}], which none of the first {_NAMES_IN} rows has: it would "
                    f"be passed over. Give it to one of these, if only as null."
                )
        count += len(found)
        yield [tuple(row.get(name) for name in columns) for row in found], min(1.0, position[0] / total)


# -- what is written ---------------------------------------------------------------------------------------------------

Write = Callable[[list[str], Recommendations], None]


@contextlib.contextmanager
def recommendations_file(path: Path | None) -> Iterator[Write]:
    """A function that appends users and their lists to `path`; the file is there when all is written.

    .csv and .tsv have a row an item (user_id, rank, item_id, score in six digits, round), .jsonl and .parquet a row a
    user (user_id, items, scores, rounds). None prints JSON lines.

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
        writer = csv.writer(file, delimiter=_SEPARATORS[path.suffix], lineterminator="\n")
        writer.writerow(["user_id", "rank", "item_id", "score", "round"])

        def write(users: list[str], found: Recommendations) -> None:
            rows = found.frame(users).itertuples(index=False)
            writer.writerows([user, rank, item, _six_digits(score), by] for user, rank, item, score, by in rows)

        yield write


def _six_digits(score: float) -> str:
    return "" if score != score else f"{score:.6g}"


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
