"""Result records -> leaderboard tables: a pure function of the records."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from recbole_specgr.leaderboard.record import RESULT, read_record
from recbole_specgr.leaderboard.report import PARTS

FORMATS = {"terminal": "simple", "markdown": "github"}
METRICS = ("recall", "ndcg")  # shown at the largest k, those of them that the protocol has

Record = dict[str, Any]


def find_records(runs: Path, dataset: str) -> list[Record]:
    """The records of all runs of `dataset` under `runs`. Raises UserError for a malformed one."""
    files = sorted(Path(runs).glob(f"{dataset}/*/*/{RESULT}"))
    return [record for record in map(read_record, files) if record["dataset"] == dataset]


def leaderboard(records: Iterable[Record], style: str = "terminal") -> str:
    """One table for each protocol: a row a model, best overall first, mean and deviation over seeds."""
    by_protocol: dict[str, list[Record]] = defaultdict(list)
    for record in _latest(records):
        by_protocol[record["protocol_hash"]].append(record)
    return "\n\n".join(_table(by_protocol[key], style) for key in sorted(by_protocol))


def _latest(records: Iterable[Record]) -> list[Record]:
    """The last finished record of each model and seed under each protocol."""
    latest: dict[tuple, Record] = {}
    for record in sorted(records, key=lambda record: record["finished"]):
        latest[record["protocol_hash"], record["model"], record["seed"]] = record
    return list(latest.values())


def _table(records: list[Record], style: str) -> str:
    protocol = records[0]["protocol"]
    k = max(protocol["topk"])
    metrics = [name for name in METRICS if name in protocol["metrics"]] or protocol["metrics"]
    columns = {
        f"{title} {_title(metric)}@{k}": f"{part}{metric}@{k}" for part, title in PARTS.items() for metric in metrics
    }
    by_model: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_model[record["model"]].append(record)
    order = sorted(by_model, key=lambda model: (-_mean(by_model[model], f"{metrics[-1]}@{k}"), model))
    rows = [
        [
            by_model[model][-1].get("display_name") or model,
            len(by_model[model]),
            *(_spread(by_model[model], key) for key in columns.values()),
            f"{mean(record['test']['users_per_second'] for record in by_model[model]):,.0f}",
        ]
        for model in order
    ]
    headers = ["model", "seeds", *columns, "users/s"]
    align = ["left", *["right"] * (len(headers) - 1)]
    groups = [by_model[model][-1].get("group") or "" for model in order]
    if any(groups):
        headers.append("group")
        align.append("left")
        rows = [[*row, group] for row, group in zip(rows, groups)]
    table = tabulate(rows, headers, tablefmt=FORMATS[style], disable_numparse=True, colalign=align)
    return f"{_protocol_line(records)}\n\n{table}"


def _protocol_line(records: list[Record]) -> str:
    record = records[0]
    protocol, test = record["protocol"], record["metrics"]["test"]
    line = f"{record['dataset']}, protocol {record['protocol_hash']}: "
    line += f"{test['in_sample_count']:,} in-sample and {test['unseen_count']:,} unseen targets"
    holdout = protocol.get("launch_holdout")
    return line + (
        f", launch_holdout {', '.join(f'{key} {value}' for key, value in holdout.items())}" if holdout else ""
    )


def _values(records: list[Record], key: str) -> list[float]:
    return [record["metrics"]["test"][key] for record in records if key in record["metrics"]["test"]]


def _mean(records: list[Record], key: str) -> float:
    return mean(_values(records, key))


def _spread(records: list[Record], key: str) -> str:
    """`0.1234 ± 0.0012` over seeds, `0.1234` for one, `-` where there is no such target."""
    values = _values(records, key)
    if not values:
        return "-"
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _title(metric: str) -> str:
    return metric.upper() if metric in ("ndcg", "mrr", "map") else metric.capitalize()
