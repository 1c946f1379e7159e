"""The files of Amazon Reviews 2023 -> tables, streamed, with what is wrong in them counted or refused."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as arrow
import pyarrow.csv
import pyarrow.parquet as parquet
from tqdm import tqdm

from recbole_specgr.data.splits.by_time import phases_at
from recbole_specgr.importing.filters import Filters
from recbole_specgr.importing.interactions import clean_interactions
from recbole_specgr.importing.item_table import labels, one_text
from recbole_specgr.importing.json_lines import read_objects
from recbole_specgr.system.errors import UserError

#: The cuts of the benchmark's files, in ms: 2021-08-11 and 2022-07-16.
SPLIT = (1628643414042, 1658002729837)
COLUMNS = ("user_id", "parent_asin", "rating", "timestamp", "history")
#: The fields of the item's sentence in the paper's order, and the brand.
TEXT_FIELDS = ("title", "features", "categories", "description")
FIELDS = (*TEXT_FIELDS, "brand")
LIST_FIELDS = ("categories",)

_SOURCE_OF = {"brand": "store"}
_UNUSED = "left out: items without interactions"
_ITEM = re.compile(rb'"parent_asin"\s*:\s*"([^"\\]*)"')
_OBJECT = re.compile(rb"\s*\{.*\}\s*\Z", re.DOTALL)
_BLOCK = 1 << 24  # bytes parsed at once; longer than any line
_ROWS = 8192  # metadata rows of a Parquet file held as objects at once
_ORPHANS = 0.05  # share of a file's rows whose history has more items than there are rows, from which it is refused


# ---- interactions ----------------------------------------------------------------------------------------------------


def read_splits(splits: Mapping[str, Path], counts: dict[str, int]) -> pd.DataFrame:
    """Every row of the three files as one interaction, as `clean_interactions` returns them.

    A user's first interaction is a row with an empty history. Histories only repeat the rows before: they are counted,
    as they stream by, to tell whether rows are missing.

    Raises:
        UserError: a file is not what it should be, is cut short, or lacks rows that the histories name.
    """
    tables = [_read_split(path, counts) for path in splits.values()]
    sizes = [table.num_rows for table in tables]
    table = pyarrow.concat_tables(tables).unify_dictionaries()
    del tables
    where = ", ".join(str(path) for path in splits.values())
    if table.num_rows == 0:
        raise UserError(f"{where} have no rows.")
    source = pd.DataFrame({field: _ids(table[field]) for field in ("user_id", "item_id")})
    source["timestamp"] = table["timestamp"].to_numpy()
    frame = clean_interactions(source, where, f"{where}, column [timestamp]", Filters(), counts)
    phase = np.repeat(np.arange(len(sizes)), sizes)[frame.index]
    misplaced = phase != phases_at(frame["timestamp"].to_numpy(), SPLIT)
    if misplaced.any():
        counts["kept: interactions in another file than their time says"] = int(misplaced.sum())
    _check_histories(frame, phase, table["history"].to_numpy()[frame.index], list(splits.values()), counts)
    return frame.reset_index(drop=True)


def _read_split(path: Path, counts: dict[str, int]) -> pyarrow.Table:
    """user_id, item_id (dictionaries of bytes), timestamp (int64) and history (int32: how many items it has)."""
    bad = 0

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    ids = pyarrow.dictionary(pyarrow.int32(), pyarrow.binary())
    batches, untimed = [], 0
    try:
        has_header = _check_start_and_end(path)
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=COLUMNS, skip_rows=int(has_header), block_size=_BLOCK, use_threads=True
            ),
            parse_options=pyarrow.csv.ParseOptions(quote_char=False, invalid_row_handler=skip),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=["user_id", "parent_asin", "timestamp", "history"],
                column_types={"user_id": ids, "parent_asin": ids, **dict.fromkeys(COLUMNS[3:], pyarrow.binary())},
                check_utf8=False,
            ),
        )
        for batch in reader:
            timed = arrow.match_substring_regex(batch["timestamp"], r"^\d{1,18}$")
            untimed += len(timed) - timed.true_count
            batches.append(_narrow(batch.filter(timed)))
    except pyarrow.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise UserError(f"{path} could not be read: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    for what, number in (("rows of a wrong number of columns", bad), ("interactions without a time in ms", untimed)):
        if number:
            counts[f"dropped: {what}"] = counts.get(f"dropped: {what}", 0) + number
    return pyarrow.Table.from_batches(batches, schema=_narrow_schema(ids))


def _narrow_schema(ids: pyarrow.DataType) -> pyarrow.Schema:
    kinds = {"user_id": ids, "item_id": ids, "timestamp": pyarrow.int64(), "history": pyarrow.int32()}
    return pyarrow.schema(list(kinds.items()))


def _narrow(batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    history = batch["history"]
    blanks = arrow.count_substring(history, b" ").cast(pyarrow.int32())
    length = arrow.if_else(arrow.equal(arrow.binary_length(history), 0), 0, arrow.add(blanks, 1))
    columns = [
        batch["user_id"],
        batch["parent_asin"],
        batch["timestamp"].cast(pyarrow.string()).cast(pyarrow.int64()),
        length.cast(pyarrow.int32()),
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=_narrow_schema(batch["user_id"].type))


def _check_start_and_end(path: Path) -> bool:
    """Whether the first line is the header. Raises UserError for another table, or a plain file that is cut short."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        first = file.readline(_BLOCK).decode("utf-8-sig", "replace").strip()
    cells = first.split(",")
    has_header = cells[: len(COLUMNS)] == list(COLUMNS)
    if first and not has_header and not (len(cells) == len(COLUMNS) and cells[3].isdecimal()):
        raise UserError(
            f"{path} starts with [{first[:80]}], not with [{','.join(COLUMNS)}]: is it a file of timestamp_w_his?"
        )
    if opener is open and first:
        with open(path, "rb") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                raise UserError(f"{path} ends within a line, so it is only a part of the file. Fetch it again.")
    return has_header


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} could not be read: {error}. It is damaged or cut short: fetch it again.")


def _ids(column: pyarrow.ChunkedArray) -> pd.Series:
    """Categories of texts; missing where the bytes are not UTF-8."""
    column = column.combine_chunks()
    distinct = [_utf8(token) for token in column.dictionary.to_pylist()]
    renumbered = np.cumsum([token is not None for token in distinct]) - 1
    renumbered[[token is None for token in distinct]] = -1
    codes = column.indices.to_numpy(zero_copy_only=False)
    tokens = pd.Index([token for token in distinct if token is not None], dtype=object)
    return pd.Series(pd.Categorical.from_codes(renumbered[codes] if len(distinct) else codes, tokens))


def _utf8(token: bytes) -> str | None:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _check_histories(
    frame: pd.DataFrame, phase: np.ndarray, history: np.ndarray, paths: list[Path], counts: dict[str, int]
) -> None:
    """Rows must have as many before them, of the same user, as their history has items."""
    users, times = frame["user_id"].cat.codes.to_numpy(), frame["timestamp"].to_numpy()
    order = np.lexsort((times, users))
    starts = np.searchsorted(users[order], users[order])
    orphans = np.empty(len(order), dtype=bool)
    orphans[order] = history[order] > np.arange(len(order)) - starts
    if orphans.any():
        counts["kept: interactions that name more earlier ones than there are"] = int(orphans.sum())
    for number, path in enumerate(paths):
        share = float(orphans[phase == number].mean()) if (phase == number).any() else 0.0
        if share > _ORPHANS:
            others = ", ".join(str(other) for other in paths)
            raise UserError(
                f"{100 * share:.1f} % of the rows of {path} name earlier items for which no file has a row: of "
                f"{others} one is incomplete, or they are not of one version. Fetch them again."
            )


# ---- metadata --------------------------------------------------------------------------------------------------------


def read_metadata(
    paths: list[Path], wanted: Iterable[str], counts: dict[str, int], show_progress: bool = True
) -> pd.DataFrame:
    """The fields of the `wanted` items, indexed by item id: lists of labels for `categories`, texts for the others.

    Only what is kept is held in memory. Rows of other items, of an item that was there before, without an id, and
    rows that are not JSON are skipped and counted; of rows that are not UTF-8 the wrong bytes become blanks.

    Raises:
        UserError: a file is damaged or cut short, or holds something else.
    """
    wanted, found = set(wanted), {}
    total = sum(path.stat().st_size for path in paths)
    with tqdm(total=total, unit="B", unit_scale=True, desc="metadata", disable=not show_progress) as bar:
        before = 0
        for path in paths:
            rows = _parquet_rows if path.suffix == ".parquet" else _json_rows

            def show(done: int, before: int = before) -> None:
                bar.update(before + done - bar.n)

            for row in rows(path, wanted, counts, show):
                item = row.get("parent_asin")
                if not isinstance(item, str) or not item.strip():
                    _count(counts, "dropped: metadata rows without an id")
                elif item not in wanted:
                    _count(counts, _UNUSED)
                elif item in found:
                    _count(counts, "dropped: repeated metadata rows (the first was kept)")
                else:
                    found[item] = [_cell(field, row.get(_SOURCE_OF.get(field, field))) for field in FIELDS]
            before += path.stat().st_size
    return pd.DataFrame.from_dict(found, orient="index", columns=list(FIELDS), dtype=object)


def _cell(field: str, value: Any) -> str | list[str]:
    is_list = isinstance(value, list)
    parts = [part for part in (value if is_list else [value]) if isinstance(part, str)]
    return labels(parts) if field in LIST_FIELDS else one_text(parts, is_list)


def _count(counts: dict[str, int], what: str, number: int = 1) -> None:
    if number:
        counts[what] = counts.get(what, 0) + number


def _parquet_rows(
    path: Path, wanted: set[str], counts: dict[str, int], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """The rows of wanted items and those without an id."""
    tokens = pyarrow.array(sorted(wanted), pyarrow.string())
    try:
        with parquet.ParquetFile(path) as file:
            known = set(file.schema_arrow.names)
            if "parent_asin" not in known:
                raise UserError(f"{path} has no column [parent_asin]: is it a file of item metadata?")
            fields = ("parent_asin", *(_SOURCE_OF.get(field, field) for field in FIELDS))
            rows = 0
            for batch in file.iter_batches(_ROWS, columns=[field for field in fields if field in known]):
                items = batch["parent_asin"].cast(pyarrow.string())
                kept = batch.filter(arrow.or_(arrow.is_in(items, value_set=tokens), arrow.is_null(items)))
                _count(counts, _UNUSED, batch.num_rows - kept.num_rows)
                yield from kept.to_pylist()
                rows += batch.num_rows
                progress(path.stat().st_size * rows // file.metadata.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"{path} could not be read: {str(error).splitlines()[0]} It is damaged or only a part: fetch it again."
        ) from error


def _json_rows(
    path: Path, wanted: set[str], counts: dict[str, int], progress: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """The rows of wanted items and those whose id can't be told before they are parsed.

    Parsing takes most of the time, and most items of a category are in no interaction of its 5-core.
    """
    tokens = {item.encode() for item in wanted}
    good = bad = 0

    def worth(line: bytes) -> bool:
        nonlocal good
        good += 1
        key = line.rfind(b'"parent_asin"')
        item = _ITEM.match(line, key) if key >= 0 else None
        # A line that is cut short is parsed, to be counted; so is one that has the key in a nested object, too.
        if item is None or item[1] in tokens or not _OBJECT.match(line) or line.count(b'"parent_asin"') > 1:
            return True
        _count(counts, _UNUSED)
        return False

    def mend(number: int, line: bytes, wrong: str) -> dict[str, Any] | None:
        nonlocal bad
        if wrong == "not UTF-8":
            try:
                found = json.loads(line.decode("utf-8", "replace").replace("\ufffd", " "), strict=False)
            except ValueError:
                found = None
            if isinstance(found, dict):
                _count(counts, "put right: metadata rows that are not UTF-8")
                return found
        bad += 1
        _count(counts, "dropped: metadata lines that are not JSON")
        return None

    yield from read_objects(path, mend, worth, progress)
    if 2 * bad > good:
        raise UserError(f"{path}: {bad:,} of {good:,} lines are no JSON objects: is it a file of item metadata?")
