"""The record of a run, result.json: its format, and what makes one that a table can be drawn from."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from recbole_specgr.errors import UserError

RESULT = "result.json"
SCHEMA = 1
# What a table is drawn from: key -> type, nested keys dotted.
REQUIRED = {
    "schema": int,
    "model": str,
    "dataset": str,
    "seed": int,
    "finished": str,
    "protocol_hash": str,
    "protocol": dict,
    "metrics.valid": dict,
    "metrics.test": dict,
    "test.users_per_second": (int, float),
}


def protocol_hash(protocol: dict[str, Any]) -> str:
    """16 hexadecimal digits; results may stand in one table when theirs are equal."""
    text = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_record(path: Path) -> dict[str, Any]:
    """Read and check a record. Raises UserError, with the reason, for one that is malformed."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is refused: it can't be read as JSON ({error}).") from error
    reason = _fault(record)
    if reason:
        raise UserError(f"{path} is refused: {reason}.")
    return record


def _fault(record: Any) -> str | None:
    """What is wrong with a record, or None."""
    if not isinstance(record, dict):
        return f"it holds a {type(record).__name__}, not a record"
    for name, kind in REQUIRED.items():
        value = record
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"[{name}] is missing" if value is None else f"[{name}] is {value!r}"
    if record["schema"] != SCHEMA:
        return f"its schema is {record['schema']}, this version reads {SCHEMA}"
    if record["protocol_hash"] != protocol_hash(record["protocol"]):
        return "[protocol_hash] is not that of its [protocol]"
    for key, value in record["metrics"]["test"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"[metrics.test.{key}] is {value!r}, not a number"
    wanted = [f"{metric}@{k}" for metric in record["protocol"]["metrics"] for k in record["protocol"]["topk"]]
    missing = {*wanted, "in_sample_count", "unseen_count"} - record["metrics"]["test"].keys()
    return f"[metrics.test.{min(missing)}] is missing" if missing else None
