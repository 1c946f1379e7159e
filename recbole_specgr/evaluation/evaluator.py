"""Rows -> metrics: overall, and over the rows whose target was seen in training (in_sample) or was not (unseen)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isnan
from typing import Any

from recbole_specgr.evaluation.metrics.contract import Metric
from recbole_specgr.evaluation.rows import Rows
from recbole_specgr.settings.named_classes import metric_class
from recbole_specgr.settings.result_keys import PARTS


class Evaluator:
    """The metrics that a run's settings name, as `recall@10`, `in_sample_recall@10`, `unseen_recall@10`, ...,
    `in_sample_count`, `unseen_count`.

    Attributes:
        metrics: in the order of the settings.

    Raises:
        UserError: a metric that there is not.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.metrics: list[Metric] = [metric_class(name)(config) for name in config["metrics"]]
        self.topk: list[int] = config["topk"]
        self.decimals: int = config["metric_decimal_place"]

    @property
    def needs_lists(self) -> bool:
        """A metric needs the lists, and not only the targets' ranks."""
        return any(metric.needs_lists for metric in self.metrics)

    def evaluate(self, rows: Rows) -> dict[str, float]:
        """The results, rounded to `metric_decimal_place` digits. A part without rows has its count only.

        Raises:
            ValueError: there is no row.
            ArithmeticError: overall is not the parts' mean, weighted with their numbers of rows.
        """
        if not len(rows):
            raise ValueError("There is no row to evaluate.")
        result, counts = part_results(rows, self.metrics, self.topk), part_counts(rows)
        averaged = (metric.name() for metric in self.metrics if metric.averaged)
        check_identity(result, counts, [f"{name}@{k}" for name in averaged for k in self.topk])
        return {key: round(value, self.decimals) for key, value in result.items()} | counts


def part_counts(rows: Rows) -> dict[str, int]:
    """`in_sample_count` and `unseen_count`."""
    return {f"{prefix}count": int(part.has(rows.unseen).sum()) for prefix, part in PARTS.items() if prefix}


def part_results(rows: Rows, metrics: Iterable[Metric], topk: Iterable[int]) -> dict[str, float]:
    """The metrics of every part that has rows, unrounded."""
    metrics, topk = list(metrics), list(topk)
    result: dict[str, float] = {}
    for prefix, part in PARTS.items():
        chosen = rows.select(part.has(rows.unseen))
        if len(chosen):
            result |= {f"{prefix}{metric.name()}@{k}": metric.value(chosen, k) for metric in metrics for k in topk}
    return result


def check_identity(result: Mapping[str, float], counts: Mapping[str, int], keys: Iterable[str]) -> None:
    """Raise ArithmeticError unless, for each of `keys`, overall is the mean of the parts weighted with `counts`."""
    total = sum(counts.values())
    parts = {name.removesuffix("count"): count for name, count in counts.items() if count}
    for key in keys:
        weighted = sum(count / total * result[f"{prefix}{key}"] for prefix, count in parts.items())
        if isnan(weighted) and isnan(result[key]):
            continue  # said where the record is written
        if not abs(weighted - result[key]) <= 1e-9 * max(1.0, abs(result[key])):
            raise ArithmeticError(
                f"{key} is {result[key]!r} over all rows, but {weighted!r} from its parts: a fault in the metric."
            )
