"""Rows -> metrics: overall, and over the rows whose target was seen in training (in_sample) or was not (unseen)."""

import numpy as np
import torch
from recbole.evaluator import Evaluator
from recbole.evaluator.base_metric import TopkMetric
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.register import metrics_dict

from recbole_specgr.evaluation.list_metrics import AVERAGED_LIST_METRICS, LIST_METRICS
from recbole_specgr.system.errors import UserError, did_you_mean

SUBSETS = {"in_sample": False, "unseen": True}  # name -> the row's unseen flag
_EXACT = 15  # decimals kept until the identity is checked


class SubsetEvaluator(Evaluator):
    """RecBole's metrics as `recall@10`, `in_sample_recall@10`, `unseen_recall@10`, `in_sample_count`, `unseen_count`.

    A row has one target, so a top-k metric is a function of the target's rank. It is tabulated once, by RecBole's own
    metric on one row of each rank, in `by_rank[key]`: float array [K + 1], entry 0 for a target outside the list.
    Its mean over any rows is then a dot product with the histogram of their ranks, exact at any number of rows.
    """

    def __init__(self, config):
        check_metrics(config["metrics"])
        super().__init__(config)
        self.depth = max(config["topk"])
        self.by_rank: dict[str, np.ndarray] = {}
        for name, metric in self.metric_class.items():
            if name in LIST_METRICS:
                self.metric_class[name] = metric = LIST_METRICS[name](config)
            metric.decimal_place = _EXACT
            if isinstance(metric, TopkMetric):
                rows = [metric.calculate_metric(self._row(rank)) for rank in range(self.depth + 1)]
                self.by_rank.update({key: np.array([row[key] for row in rows], dtype=float) for key in rows[0]})

    def _row(self, rank: int) -> DataStruct:
        """RecBole's `rec.topk` of one row: a 1 at the target's place [1, K], then the number of targets."""
        row = torch.zeros(1, self.depth + 1, dtype=torch.int)
        row[0, -1] = 1
        if rank:
            row[0, rank - 1] = 1
        struct = DataStruct()
        struct.set("rec.topk", row)
        return struct

    def evaluate(self, dataobject: DataStruct) -> dict[str, float]:
        """Return the metrics of a RankCollector's rows. A subset without rows has its count only.

        Raises:
            ValueError: there is no row.
            ArithmeticError: overall is not the subsets' mean, weighted with their shares.
        """
        unseen = dataobject["rec.unseen"].numpy()
        if not len(unseen):
            raise ValueError("There is no row to evaluate.")
        result = self._metrics(dataobject, np.ones_like(unseen))
        counts = {name: int((unseen == flag).sum()) for name, flag in SUBSETS.items()}
        for name, flag in SUBSETS.items():
            if counts[name]:
                part = self._metrics(dataobject, unseen == flag)
                result.update({f"{name}_{key}": value for key, value in part.items()})
        check_identity(result, counts, self._averaged())
        result = {key: round(value, self.config["metric_decimal_place"]) for key, value in result.items()}
        return result | {f"{name}_count": count for name, count in counts.items()}

    def _metrics(self, rows: DataStruct, chosen: np.ndarray) -> dict[str, float]:
        share = np.bincount(rows["rec.rank"].numpy()[chosen], minlength=self.depth + 1) / chosen.sum()
        result: dict[str, float] = {}
        for name, metric in self.metric_class.items():
            if name in LIST_METRICS:
                lists = DataStruct()
                for key in metric.metric_need:
                    lists.set(key, rows["rec.items"][torch.from_numpy(chosen)] if key == "rec.items" else rows[key])
                values = metric.calculate_metric(lists)
            else:
                values = {key: share @ self.by_rank[key] for key in (f"{name}@{k}" for k in metric.topk)}
            result.update({key: float(value) for key, value in values.items()})
        return result

    def _averaged(self) -> list[str]:
        names = [name for name, metric in self.metric_class.items() if isinstance(metric, AVERAGED_LIST_METRICS)]
        return [*self.by_rank, *(f"{name}@{k}" for name in names for k in self.config["topk"])]


def check_metrics(names: list[str]) -> None:
    """Raise UserError for a metric that RecBole does not have or that a ranked list does not determine."""
    possible = sorted(
        cls.__name__ for name, cls in metrics_dict.items() if issubclass(cls, TopkMetric) or name in LIST_METRICS
    )
    for name in names:
        if name.lower() in (metric.lower() for metric in possible):
            continue
        known = name.lower() in metrics_dict
        why = "needs the scores of all items, and models here return ranked lists" if known else "is not known"
        raise UserError(
            f"metrics: [{name}] {why}.{did_you_mean(name, possible)} The metrics are {', '.join(possible)}."
        )


def check_identity(result: dict[str, float], counts: dict[str, int], keys: list[str]) -> None:
    """Raise ArithmeticError unless, for each of `keys`, overall is the mean of the subsets weighted with `counts`."""
    total = sum(counts.values())
    for key in keys:
        weighted = sum(count / total * result[f"{name}_{key}"] for name, count in counts.items() if count)
        if not abs(weighted - result[key]) <= 1e-9 * max(1.0, abs(result[key])):
            raise ArithmeticError(
                f"{key} is {result[key]!r} over all rows, but {weighted!r} from its subsets: a fault in the metric."
            )
