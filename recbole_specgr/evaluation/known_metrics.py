"""The metrics that records name, which this machine may not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recbole_specgr.evaluation.metrics.contract import Metric, RankMetric
from recbole_specgr.settings.named_classes import METRIC, metric_class
from recbole_specgr.system.errors import UserError


def find_metric(name: str) -> type[Metric] | None:
    """The class of a metric, or None where this machine does not know it: a user's own, of another machine."""
    try:
        known: type[Metric] = metric_class(name)
        return known
    except UserError:
        return None


def rank_metrics(names: Iterable[str], settings: Mapping[str, Any]) -> dict[str, RankMetric]:
    """Those of the metrics that ranks alone determine, by name; they can be computed again from a run's ranks.

    Args:
        settings: of the run.
    """
    classes = {name: find_metric(name) for name in names}
    return {name: found(settings) for name, found in classes.items() if found and issubclass(found, RankMetric)}


def metric_title(name: str) -> str:
    """As tables have it: `ndcg` is NDCG."""
    found = find_metric(name)
    return found.title() if found else name.capitalize()


def users_own(name: str) -> bool:
    """It is none of the metrics of this package."""
    found = find_metric(name)
    return found is None or not found.__module__.startswith(f"{METRIC.package}.")


def smaller_is_better(name: str) -> bool | None:
    """None where this machine does not know the metric."""
    found = find_metric(name)
    return found.smaller if found else None
