"""Metrics one by one, against RecBole's own and by hand; those that this machine does not know; how keys are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recbole.evaluator.collector import DataStruct
from recbole.evaluator.register import metrics_dict, smaller_metrics

from recbole_specgr.evaluation.evaluator import part_counts, part_results
from recbole_specgr.evaluation.known_metrics import (
    find_metric,
    metric_title,
    rank_metrics,
    smaller_is_better,
    users_own,
)
from recbole_specgr.evaluation.metrics.contract import RankMetric
from recbole_specgr.evaluation.rows import Rows
from recbole_specgr.settings.named_classes import metric_class
from recbole_specgr.settings.result_keys import split_key
from recbole_specgr.system.errors import UserError

BY_RANK = ["Recall", "NDCG", "MRR", "Hit", "MAP", "Precision"]
BY_LIST = ["ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"]


@pytest.mark.parametrize("name", BY_RANK)
@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_worth_of_each_rank_is_recboles(name, k):
    metric = metric_class(name)({})
    worth = metric.of_ranks(np.arange(11), k)
    for rank in range(11):
        row = torch.zeros(1, 11, dtype=torch.int)
        row[0, -1] = 1  # the number of targets
        if rank:
            row[0, rank - 1] = 1
        struct = DataStruct()
        struct.set("rec.topk", row)
        settings = {"topk": [k, 10], "metric_decimal_place": 15}
        theirs = metrics_dict[name.lower()](settings).calculate_metric(struct)[f"{name.lower()}@{k}"]
        assert worth[rank] == pytest.approx(theirs, abs=1e-12)
        assert metric.value(Rows(np.array([rank]), np.array([False])), k) == pytest.approx(theirs, abs=1e-12)


def test_directions_and_names_are_recboles():
    for name in BY_RANK + BY_LIST:
        found = metric_class(name.upper())
        assert found.smaller == (name.lower() in smaller_metrics)
        assert (found.name(), found.title()) == (name.lower(), name)
        assert metrics_dict[found.name()].__name__ == found.title()


@pytest.mark.parametrize("ratio", [None, 0.05, 0.3, 1, 3, 17])
def test_the_long_tail_is_recboles(ratio):
    rng = np.random.default_rng(3)
    lists = np.stack([rng.permutation(np.arange(1, 30))[:6] for _ in range(20)])
    counts = np.where(np.arange(30) % 3 == 0, 0, rng.integers(1, 20, 30))
    counts[0] = 0
    rows = Rows(np.zeros(20, int), np.zeros(20, bool), lists=lists, n_items=30, train_counts=counts)
    struct = DataStruct()
    struct.set("rec.items", torch.from_numpy(lists))
    struct.set("data.count_items", {item: int(counts[item]) for item in range(30) if counts[item]})
    settings = {"topk": [2, 6], "metric_decimal_place": 15, "tail_ratio": ratio}
    theirs = metrics_dict["tailpercentage"](settings).calculate_metric(struct)
    ours = metric_class("TailPercentage")(settings)
    for k in (2, 6):
        assert ours.value(rows, k) == pytest.approx(theirs[f"tailpercentage@{k}"], abs=1e-12)


def test_parts_by_hand():
    rows = Rows(np.array([1, 0, 3, 12]), np.array([False, False, True, True]))
    metrics = rank_metrics(["recall", "ndcg", "giniindex", "of_another_machine"], {})
    assert part_counts(rows) | part_results(rows, metrics.values(), [2, 10]) == {
        "in_sample_count": 2,
        "unseen_count": 2,
        "recall@2": 0.25,
        "in_sample_recall@2": 0.5,
        "unseen_recall@2": 0.0,
        "recall@10": 0.5,
        "in_sample_recall@10": 0.5,
        "unseen_recall@10": 0.5,
        "ndcg@2": 0.25,
        "in_sample_ndcg@2": 0.5,
        "unseen_ndcg@2": 0.0,
        "ndcg@10": pytest.approx((1 + 1 / 2) / 4),
        "in_sample_ndcg@10": 0.5,
        "unseen_ndcg@10": pytest.approx(1 / 4),
    }
    seen = Rows(np.array([1]), np.array([False]))
    assert "unseen_recall@2" not in part_results(seen, metrics.values(), [2])


def test_a_value_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    rank = rng.integers(0, 51, 997)
    for name in BY_RANK:
        metric = metric_class(name)({})
        values = {metric.value(Rows(rng.permutation(rank), rank > 0), 20) for _ in range(5)}
        assert len(values) == 1
        assert values.pop() == pytest.approx(metric.row_values(Rows(rank, rank > 0), 20).mean())


def test_keys_are_read():
    assert split_key("unseen_Recall@50") == ("unseen_", "recall", "50")
    assert split_key("in_sample_ndcg@5") == ("in_sample_", "ndcg", "5")
    assert split_key("MRR@10") == ("", "mrr", "10")


# -- a user's own ------------------------------------------------------------------------------------------------------


@pytest.fixture
def baselines(tmp_path, monkeypatch):
    """The folder of baselines of an empty working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    return tmp_path / "baselines"


FIRST = """
from recbole_specgr.evaluation.metrics.contract import RankMetric


class First(RankMetric):
    smaller = True

    def gain(self, rank, k):
        return rank == 1
"""


def test_a_metric_in_a_file_of_its_name_is_found(baselines):
    assert find_metric("first") is None and metric_title("first") == "First" and smaller_is_better("first") is None
    assert users_own("first")
    (baselines / "First.py").write_text(FIRST, encoding="utf-8")
    assert issubclass(metric_class("FIRST"), RankMetric)
    assert (metric_title("first"), smaller_is_better("first"), users_own("first")) == ("First", True, True)
    assert not users_own("recall")
    assert rank_metrics(["first"], {})["first"].of_ranks(np.array([0, 1, 2]), 5).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("Other.py", "", r"There is no \[metrics: Second\].*baselines/Second\.py"),
        ("Second.py", "class First: ...", "has no class Second"),
        ("Second.py", "class Second: ...", r"\[metrics: Second\]: Second does not derive from .*Metric"),
    ],
)
def test_what_is_no_metric_is_refused(file, content, message, baselines):
    (baselines / file).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        metric_class("Second")
    with pytest.raises(UserError, match=r"\[metrics: own:Second\].*baselines/Second\.py"):
        metric_class("own:Second")
