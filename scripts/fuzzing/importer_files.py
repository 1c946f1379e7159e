"""Files of interactions and items with hostile values, damaged bytes, and names that say something else."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd

from fuzzing.trials import Fault
from recbole_specgr.importing.importer import ImportReport, import_dataset

_SECOND = 1_600_000_000
_KINDS = ("csv", "tsv", "jsonl", "parquet", "inter")
_HOSTILE: tuple[Any, ...] = (
    *(None, "", " ", "NA", "null", "[PAD]", "0", "-1", "1e5", "1.0", "True", "inf", "nan", '"', '""', "'", ",", ";"),
    *("|", "\t", "\n", "\r\n", "\0", "\x1f", "\x85", "\u2028", "\ufeff", "\ud800", "\u5546\u54c1", "a" * 2000),
    *("<b", "&#0;", "2014-05-13 16:53:20 UTC", "2014-05-13", "9999-12-31", "0001-01-01", "24:00", "16/05/2014"),
    *(0, -1, 1.5, 1e300, 2**53 + 1, 2**63, 2**64, 10**400, -(2**63), _SECOND * 1000, float("nan"), float("inf")),
    *(True, False, [], [1, None], [[["a"]]], {}, {"a": 1}, ["x"] * 50),
)
_PIECES = (b'"', b"\n", b"\r", b"\0", b",", b"\t", b"{", b"]", b"\\", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f")


def import_mutated_files(random: Random, folder: Path) -> None:
    """A `Kind` of trial: a small data set, changed in up to four places, is imported."""
    interactions = [
        {"user_id": f"u{random.randrange(6)}", "item_id": f"i{random.randrange(9)}", "timestamp": _SECOND + row}
        for row in range(random.randrange(1, 40))
    ]
    items = [{"item_id": f"i{row}", "title": f"Item {row}", "tags": ["a", f"b{row % 3}"]} for row in range(9)]
    for _ in range(random.randrange(3)):
        _change_value(random, random.choice((interactions, items)))
    inter, changed = _write(random, folder / "interactions", interactions)
    item, also = _write(random, folder / "items", items)
    output = folder / "dataset"
    try:
        report = import_dataset(inter, item, "fuzzed", output)
    except BaseException:
        if output.exists() and any(output.iterdir()):
            raise Fault(f"it left {[path.name for path in output.iterdir()]}") from None
        raise
    _check(output / "fuzzed", report, interactions if not (changed or also) else None)


def _change_value(random: Random, rows: list[dict[str, Any]]) -> None:
    """A hostile value in one cell or in a whole column, or a column that is gone or has another name."""
    field, value = random.choice(list(rows[0])), random.choice(_HOSTILE)
    kind = random.randrange(8)
    for row in rows if kind == 0 else random.sample(rows, min(len(rows), 1 if kind < 6 else 3)):
        row[field] = value
    if kind == 6:
        for row in rows:
            row.pop(field, None)
    if kind == 7 and rows:
        rows[0][random.choice(("user_id", "title", "other:token_seq", "year:float"))] = random.choice(_HOSTILE)


def _write(random: Random, stem: Path, rows: list[dict[str, Any]]) -> tuple[Path, bool]:
    """The file, in a format by chance, and whether its bytes were changed."""
    kind = random.choice(_KINDS)
    data = _bytes(kind, rows)
    packed = kind != "parquet" and random.random() < 0.25
    changed = random.random() < 0.5
    if changed and not (packed and random.random() < 0.5):
        data = _damaged(random, data)
    if packed:
        data = gzip.compress(data, 1)
        if changed and random.random() < 0.5:
            data = _damaged(random, data)
    name = f"{stem.name}.{kind if random.random() < 0.97 else random.choice(_KINDS)}{'.gz' if packed else ''}"
    path = stem.with_name(name)
    path.write_bytes(data)
    return path, changed or not name.startswith(f"{stem.name}.{kind}")


def _bytes(kind: str, rows: list[dict[str, Any]]) -> bytes:
    if kind == "parquet":
        file = io.BytesIO()
        try:
            pd.DataFrame(rows).to_parquet(file)
            return file.getvalue()
        except Exception:  # values that no column of a Parquet file can hold
            kind = "jsonl"
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if kind == "csv" else "\t", lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value))
    return "" if value is None else str(value)


def _damaged(random: Random, data: bytes) -> bytes:
    for _ in range(random.randrange(1, 3)):
        place = random.randrange(len(data) + 1)
        piece = data[place : place + random.randrange(1, 30)]
        kind = random.randrange(8)
        if kind == 0:
            data = data[:place]
        elif kind == 1:
            data = data[:place] + data[place + len(piece) :]
        elif kind == 2:
            data = data[:place] + piece * random.randrange(2, 40) + data[place:]
        elif kind == 3 and data:
            place = min(place, len(data) - 1)
            data = data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]
        elif kind == 4:
            data = random.choice((b"", b"\xff\xfe")) + data.decode("latin1").encode("utf-16-le")
        elif kind == 5:
            data += bytes(random.randrange(1, 600))
        elif kind == 6:
            data = random.choice(_PIECES) + data
        else:
            data = data[:place] + random.choice(_PIECES) + data[place:]
    return data


def _check(folder: Path, report: ImportReport, interactions: list[dict[str, Any]] | None) -> None:
    """Raise Fault where the data set that was written is not what the report says, or holds ids of its own making."""
    inter, item = (_read(folder / f"fuzzed.{suffix}") for suffix in ("inter", "item"))
    users, items, times = zip(*inter[1:])
    if len(inter) - 1 != report.statistics["interactions"] or len(set(items)) != report.statistics["items"]:
        raise Fault(f"{len(inter) - 1} rows were written, but the report says {report.statistics}")
    if sorted(set(items)) != sorted(row[0] for row in item[1:]):
        raise Fault("the items of the two files differ")
    if len(set(zip(users, items))) < len(users):
        raise Fault("a (user, item) pair was written twice")
    if [str(int(time)) for time in times] != list(times):
        raise Fault(f"times are no whole numbers: {times[:5]}")
    for field, found in (("user_id", users), ("item_id", items)):
        if interactions is None:
            break
        given = {text for row in interactions for text in (_plain(row.get(field)), _cell(row.get(field)).strip())}
        if not set(found) <= given:
            raise Fault(f"{sorted(set(found) - given)[:3]} were written as {field}, which were never given")


def _read(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", strict=True))


def _plain(value: Any) -> str:
    """The id that a value should be written as."""
    if isinstance(value, float) and value == value and abs(value) <= 2**53 and value == int(value):
        return str(int(value))
    return str(value).strip()
