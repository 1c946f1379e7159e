"""Ranked lists and metrics, against RecBole's own Collector and Evaluator on full scores, and numpy by hand."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector
from recbole.evaluator import Evaluator as RecBoleEvaluator

from recbole_specgr.evaluation import Evaluator, RankCollector, check_ranked, check_topk, rank_scores
from recbole_specgr.evaluation.collector import evaluated_rows
from recbole_specgr.evaluation.evaluator import check_identity
from recbole_specgr.system.errors import UserError

RANK_METRICS = ["Recall", "NDCG", "MRR", "Hit", "MAP", "Precision"]
LIST_METRICS = ["ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"]


class Settings(dict):
    """As much of a Config as the evaluation reads."""

    def __missing__(self, key):
        return None


def settings_with(metrics=tuple(RANK_METRICS + LIST_METRICS), topk=(1, 3, 10), decimals=12):
    return Settings(
        metrics=list(metrics),
        topk=list(topk),
        metric_decimal_place=decimals,
        device=torch.device("cpu"),
        eval_args={"mode": "full"},
        USER_ID_FIELD="user_id",
        ITEM_ID_FIELD="item_id",
        tail_ratio=0.2,
    )


class Case:
    """Random scores of 83 rows over 40 items, 30 of them seen; item 0 is the padding."""

    def __init__(self, seed=0, rows=83, n_items=40):
        generator = torch.Generator().manual_seed(seed)
        self.scores = torch.randn(rows, n_items, generator=generator)
        self.scores[:, 0] = -torch.inf
        self.target = torch.randint(1, n_items, (rows,), generator=generator)
        self.seen = torch.arange(n_items) <= 30
        self.seen[0] = False
        self.popularity = Counter({item: 41 - item for item in range(1, 31)})
        self.users = torch.arange(rows) + 1

    def interaction(self, rows=slice(None)):
        return Interaction({"user_id": self.users[rows], "item_id": self.target[rows]})

    def evaluate(self, config, ranked=None, batch=20):
        """Through this package, in batches."""
        ranked = (
            rank_scores(self.scores.clone(), max(config["topk"]), torch.ones(40).bool()) if ranked is None else ranked
        )
        evaluator = Evaluator(config)
        collector = RankCollector(config, evaluator.needs_lists)
        view = SimpleNamespace(seen=self.seen, item_num=40, train_counter=self.popularity)
        collector.start(view)
        for number, start in enumerate(range(0, len(ranked), batch)):
            rows = slice(start, start + batch)
            part = ranked[rows]
            kept = collector.rows(part, self.interaction(rows), torch.arange(len(part)), self.target[rows])
            collector.add(number, kept)
        kept = collector.collected()
        return evaluator.evaluate(evaluated_rows(kept, view)), kept

    def recbole(self, config, rows=slice(None)):
        """Through RecBole's collector and evaluator, on the dense scores."""
        collector, scores = Collector(config), self.scores[rows].clone()
        collector.eval_batch_collect(scores, self.interaction(rows), torch.arange(len(scores)), self.target[rows])
        struct = collector.get_data_struct()
        struct.set("data.num_items", 40)  # set late: RecBole's collector would call .cpu() on the number
        struct.set("data.count_items", self.popularity)
        return RecBoleEvaluator(config).evaluate(struct)


def test_every_metric_and_subset_equals_recboles():
    case, config = Case(), settings_with()
    ours, kept = case.evaluate(config)
    expected = dict(case.recbole(config))
    for name, flag in {"in_sample": False, "unseen": True}.items():
        rows = case.seen[case.target] != flag
        expected |= {f"{name}_{key}": value for key, value in case.recbole(config, rows).items()}
        expected[f"{name}_count"] = int(rows.sum())
    assert ours == pytest.approx(expected, abs=1e-12)
    assert kept["rec.unseen"].tolist() == (case.target > 30).tolist()
    assert kept["rec.user"].tolist() == case.users.tolist()


def test_rank_metrics_equal_a_loop():
    case, config = Case(1), settings_with(RANK_METRICS)
    ours, kept = case.evaluate(config)
    values = {name: {k: [] for k in config["topk"]} for name in ("recall", "ndcg", "mrr")}
    for row, target in zip(case.scores.numpy(), case.target.tolist()):
        rank = 1 + int((row > row[target]).sum())
        for k in config["topk"]:
            values["recall"][k].append(float(rank <= k))
            values["ndcg"][k].append(1 / np.log2(rank + 1) if rank <= k else 0.0)
            values["mrr"][k].append(1 / rank if rank <= k else 0.0)
    for name, by_k in values.items():
        for k, value in by_k.items():
            assert ours[f"{name}@{k}"] == pytest.approx(np.mean(value), abs=1e-12)
    ranks = (case.scores > case.scores.gather(1, case.target[:, None])).sum(1) + 1
    assert kept["rec.rank"].tolist() == torch.where(ranks <= 10, ranks, 0).tolist()


def test_a_subset_without_rows_has_only_its_count():
    case = Case()
    case.seen[:] = True
    result, _ = case.evaluate(settings_with(["Recall"]))
    assert result["unseen_count"] == 0 and result["in_sample_count"] == 83
    assert "unseen_recall@10" not in result
    assert result["in_sample_recall@10"] == result["recall@10"]


def test_metrics_are_rounded_as_configured():
    result, _ = Case().evaluate(settings_with(["NDCG"], decimals=2))
    assert result["ndcg@10"] == round(result["ndcg@10"], 2)
    exact, _ = Case().evaluate(settings_with(["NDCG"]))
    assert result["ndcg@10"] == round(exact["ndcg@10"], 2) != exact["ndcg@10"]


def test_lists_that_end_early():
    """Places without an item are no hit, no item of the catalogue, and no recommendation that entropy or Gini count."""
    case, config = Case(rows=3), settings_with(topk=(2, 3))
    case.target = torch.tensor([4, 5, 6])
    ranked = torch.tensor([[4, 7, -1], [7, -1, -1], [-1, -1, -1]])
    result, kept = case.evaluate(config, ranked)
    assert kept["rec.rank"].tolist() == [1, 0, 0]
    assert result["recall@3"] == pytest.approx(1 / 3)
    assert result["itemcoverage@3"] == pytest.approx(2 / 40)  # items 4 and 7
    share = np.array([1, 2]) / 3
    assert result["shannonentropy@3"] == pytest.approx(-(share * np.log(share)).sum() / 2)
    weights = 2 * np.array([39, 40]) - 40 - 1
    assert result["giniindex@3"] == pytest.approx((weights * share).sum() / 40)
    assert result["averagepopularity@3"] == pytest.approx(np.mean([(37 + 34) / 3, 34 / 3, 0]))
    empty, _ = case.evaluate(config, torch.full((3, 3), -1))
    assert empty["itemcoverage@3"] == empty["giniindex@3"] == empty["shannonentropy@3"] == empty["recall@3"] == 0


@pytest.mark.parametrize("name", ["GAUC", "AUC", "LogLoss", "Recal"])
def test_metrics_a_list_does_not_determine_are_refused(name):
    with pytest.raises(UserError, match=name):
        Evaluator(settings_with(["Recall", name]))


def test_a_broken_identity_is_an_error():
    counts = {"in_sample_count": 30, "unseen_count": 10}
    result = {"recall@10": 0.4, "in_sample_recall@10": 0.5, "unseen_recall@10": 0.1}
    check_identity(result, counts, ["recall@10"])
    with pytest.raises(ArithmeticError, match="recall@10"):
        check_identity(result | {"recall@10": 0.3}, counts, ["recall@10"])
    with pytest.raises(ArithmeticError):
        check_identity(result | {"unseen_recall@10": float("nan")}, counts, ["recall@10"])
    both = {"recall@10": float("nan"), "unseen_recall@10": float("nan")}
    check_identity(result | both, counts, ["recall@10"])  # no number, in a part and so in all: the record says it


def test_more_than_one_target_a_row_is_refused():
    collector = RankCollector(settings_with(["Recall"]), keeps_lists=False)
    collector.start(SimpleNamespace(seen=torch.ones(5).bool()))
    with pytest.raises(ValueError, match="one target"):
        collector.rows(
            torch.tensor([[1, 2]]), Interaction({"user_id": [1]}), torch.tensor([0, 0]), torch.tensor([1, 2])
        )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    n_items=st.integers(2, 12),
    k=st.integers(1, 14),
    levels=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_ranking_equals_a_sort_by_score_then_id(rows, n_items, k, levels, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(rows, n_items)).astype(np.float32)
    scores[rng.random((rows, n_items)) < 0.1] = -np.inf
    allowed = rng.random(n_items) < 0.8
    allowed[0] = False
    ranked = rank_scores(torch.from_numpy(scores.copy()), k, torch.from_numpy(allowed))
    for row, got in zip(scores, ranked.tolist()):
        best = sorted((-row[item], item) for item in range(n_items) if allowed[item] and row[item] > -np.inf)
        expected = [item for _, item in best][:k]
        assert got == expected + [-1] * (k - len(expected))


def test_nan_scores_are_an_error_only_where_they_count():
    scores = torch.randn(4, 6)
    scores[2, 5] = torch.nan
    allowed = torch.tensor([False, True, True, True, True, False])
    assert (rank_scores(scores.clone(), 4, allowed) > 0).all()
    with pytest.raises(ValueError, match="NaN"):
        rank_scores(scores.clone(), 1, allowed | True)


@pytest.mark.parametrize(
    ("ranked", "message"),
    [
        ([[1, 2, 2]], "twice"),
        ([[1, 0, 2]], "padding"),
        ([[1, 4, 2]], "not a candidate"),
        ([[1, 9, 2]], "outside"),
        ([[1, -2, -1]], "outside"),
        ([[1, -1, 2]], "after -1"),
        ([[1, 2]], r"\[1, 3\]"),
        ([[1.0, 2.0, 3.0]], "float"),
    ],
)
def test_a_faulty_list_is_an_error(ranked, message):
    candidates = torch.tensor([False, True, True, True, False, True])
    check_ranked(torch.tensor([[3, 1, -1]]), 1, 3, candidates)
    check_ranked(torch.tensor([[-1, -1, -1]]), 1, 3, candidates)
    with pytest.raises(ValueError, match=message):
        check_ranked(torch.tensor(ranked), 1, 3, candidates)


def test_topk_above_the_candidates_is_refused():
    candidates = torch.tensor([False, True, True, True])
    check_topk([1, 3], candidates, "valid")
    with pytest.raises(UserError, match="4 is above the 3"):
        check_topk([1, 4], candidates, "valid")
