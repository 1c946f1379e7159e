"""What makes a record one that a table can be drawn from."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.evaluation.evaluator import part_counts, part_results
from recbole_specgr.evaluation.known_metrics import rank_metrics
from recbole_specgr.evaluation.rows import Rows
from recbole_specgr.runs.moments import is_moment
from recbole_specgr.runs.record import (
    RANK_COLUMNS,
    SCHEMA,
    digest,
    protocol_hash,
    ranks_digest,
    read_json,
)
from recbole_specgr.settings.result_keys import PARTS
from recbole_specgr.system.errors import UserError

# What a table is drawn from: key -> type, nested keys dotted.
REQUIRED: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "model": str,
    "dataset": str,
    "seed": int,
    "finished": str,
    "command": str,
    "settings": dict,
    "protocol_hash": str,
    "protocol": dict,
    "metrics.valid": dict,
    "metrics.test": dict,
    "test.users_per_second": (int, float),
    "ranks_digest": str,
    "digest": str,
}
# What may be missing, and is text where it is there.
TEXTS = ("display_name", "group")


def read_record(path: Path) -> dict[str, Any]:
    """Read and check a record. Raises UserError, with the reason, for one that is malformed or was changed."""
    record: dict[str, Any] = read_json(path)
    reason = _fault(record)
    if reason:
        raise UserError(f"{path} is refused: {reason}.")
    return record


def check_ranks(record: dict[str, Any], ranks: dict[str, np.ndarray], source: Path) -> None:
    """Raise UserError unless the record is the one of these ranks: all columns, the same counts, metrics and digest.

    Args:
        source: their file, for the message.
    """
    reason = _fault_of_ranks(record, ranks)
    if reason:
        raise UserError(f"{source} is refused: {reason}.")


def _fault_of_ranks(record: dict[str, Any], ranks: dict[str, np.ndarray]) -> str | None:
    for name, kind in RANK_COLUMNS.items():
        if name not in ranks or ranks[name].dtype.kind != kind or ranks[name].ndim != 1:
            return f"the column [{name}] of its ranks is missing or of a wrong kind"
    if len({len(column) for column in ranks.values()}) != 1:
        return "the columns of its ranks differ in length"
    protocol, test = record["protocol"], record["metrics"]["test"]
    rows, known = Rows(ranks["rank"], ranks["unseen"]), rank_metrics(protocol["metrics"], record["settings"])
    again = part_counts(rows) | part_results(rows, known.values(), protocol["topk"])
    for key, value in again.items():
        if not abs(test.get(key, math.inf) - value) <= _rounding(record):
            return f"[metrics.test.{key}] is {test.get(key)}, its ranks say {value:.6g}"
    if record["ranks_digest"] != ranks_digest(ranks):
        return "its ranks are not those that it was written with"
    return None


def _fault(record: Any) -> str | None:
    """What is wrong with a record, or None."""
    if not isinstance(record, dict):
        return f"it holds a {type(record).__name__}, not a record"
    for name, kind in REQUIRED.items():
        value: Any = record
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"[{name}] is missing" if value is None else f"[{name}] is {value!r}"
    for name in TEXTS:
        if not isinstance(record.get(name), str | None):
            return f"[{name}] is {record[name]!r}, not a text"
    if not is_moment(record["finished"]):
        return f"[finished] is {record['finished']!r}, not a moment such as 2026-11-28T14:40:48+0000"
    if record["schema"] != SCHEMA:
        return f"its schema is {record['schema']}, this version reads {SCHEMA}"
    if record["protocol_hash"] != protocol_hash(record["protocol"]):
        return "[protocol_hash] is not that of its [protocol]"
    for key, value in record["metrics"]["test"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return f"[metrics.test.{key}] is {value!r}, not a number"
    wanted = [f"{metric}@{k}" for metric in record["protocol"]["metrics"] for k in record["protocol"]["topk"]]
    missing = {*wanted, "in_sample_count", "unseen_count"} - record["metrics"]["test"].keys()
    if missing:
        return f"[metrics.test.{min(missing)}] is missing"
    if not record["command"].strip():
        return "[command] is empty"
    return _contradiction(record) or (
        "[digest] is not that of its content: it was changed by hand" if record["digest"] != digest(record) else None
    )


def _contradiction(record: dict[str, Any]) -> str | None:
    """Where overall is not the mean of in-sample and unseen, weighted with their counts."""
    test = record["metrics"]["test"]
    counts = {part: test[f"{part}count"] for part in PARTS if part}
    total = sum(counts.values())
    if not total:
        return "it has no test rows"
    known = rank_metrics(record["protocol"]["metrics"], record["settings"])
    for key in (f"{metric}@{k}" for metric in known for k in record["protocol"]["topk"]):
        if any(f"{part}{key}" not in test for part, count in counts.items() if count):
            return f"[metrics.test.{key}] has no subsets"
        weighted = sum(count * test[f"{part}{key}"] for part, count in counts.items() if count) / total
        if abs(weighted - test[key]) > 2 * _rounding(record):
            return f"[metrics.test.{key}] is {test[key]}, but {weighted:.6f} from its in-sample and unseen parts"
    return None


def _rounding(record: dict[str, Any]) -> float:
    """How far a number in the record may be from the exact one."""
    places: int = record["settings"].get("metric_decimal_place", 5)
    return 0.5001 * 10.0**-places
