"""The record of a run, result.json and ranks.npz: their format, and how they are written."""

import hashlib
import json
import math
import zipfile
import zlib
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

RUNS = Path("runs")  # where tables look for runs when no folder is named
RESULT = "result.json"
RANKS = "ranks.npz"
SCHEMA = 1
MEASURED = ("metrics", "training", "tuning")  # what may hold a metric that is not a number
# What ranks.npz holds of each test row [N]: name -> kinds of dtype.
RANK_COLUMNS = {
    "rank": "i",  # the target's, 0 where it is not in the list
    "unseen": "b",  # the target does not occur in training
    "user": "U",  # tokens
    "item": "U",
    "history": "i",  # interactions of the user before the target
    "popularity": "i",  # interactions with the target in training
    "age_days": "f",  # since the target's first interaction or launch
}


def protocol_hash(protocol: dict[str, Any]) -> str:
    """16 hexadecimal digits; results may stand in one table when theirs are equal."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(content: dict[str, Any]) -> str:
    """64 hexadecimal digits: the sha256 of a record, of what it says and not of how it is written."""
    plain = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True, allow_nan=False).encode()).hexdigest()


def ranks_digest(ranks: dict[str, np.ndarray]) -> str:
    """64 hexadecimal digits: the sha256 of the arrays' content."""
    found = hashlib.sha256()
    for name in sorted(ranks):
        array = ranks[name]
        content = "\0".join(array.tolist()).encode() if array.dtype.kind == "U" else array.astype("<f8").tobytes()
        found.update(f"{name} {len(array)}\0".encode() + content)
    return found.hexdigest()


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON has")


def read_json(path: Path) -> Any:
    """Raises UserError for a file that is not JSON, which has neither NaN nor infinity."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:  # of which those of decoding are
        raise UserError(f"{path} is refused: it can't be read as JSON ({error}).") from error


def write_result(run_dir: Path, record: dict[str, Any], ranks: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write ranks.npz, then result.json with both digests; returns the record with them. Measured numbers that are not
    finite become null, with a warning: what was trained is not lost for a metric."""
    write_columns(run_dir / RANKS, ranks)
    plain, names = _with_null({key: record[key] for key in MEASURED if key in record})
    if names:
        getLogger().warning(f"Not finite, and null in {run_dir / RESULT}: {', '.join(names)}.")
    record = {**record, **plain, "ranks_digest": ranks_digest(ranks)}
    record["digest"] = digest(record)
    write_json(run_dir / RESULT, record)
    return record


def _with_null(content: Any, name: str = "") -> tuple[Any, list[str]]:
    """Plain data with None in place of NaN and infinity, and the names of what was replaced."""
    if isinstance(content, float) and not math.isfinite(content):
        return None, [f"{name} ({content})"]
    if isinstance(content, (dict, list)):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        found = {key: _with_null(value, f"{name}.{key}" if name else str(key)) for key, value in items}
        plain = {key: value for key, (value, _) in found.items()}
        names = [name for _, names in found.values() for name in names]
        return (plain if isinstance(content, dict) else list(plain.values())), names
    return content, []


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz archive. Raises UserError for a file that is none."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is refused: it can't be read as an npz archive ({error}).") from error


def write_columns(path: Path, columns: dict[str, np.ndarray]) -> None:
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **dict[str, Any](columns))
