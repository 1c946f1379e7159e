"""The models without parameters against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.models.contract import adapted
from recbole_specgr.models.itemcocount import ItemCoCount
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.models.recentpop import RecentPop, apart_in_float32
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.features import load_text_features


def scored(model: str, settings: dict, **more):
    """Histories and scores by item of each test row, the test view and the settings."""
    config = Config(model, "tiny", config_dict={**settings, "topk": [10], "valid_metric": "NDCG@10", **more})
    train, _, test = InductiveDataset(config).build()
    batch = test[torch.arange(len(test))]
    scores = model_of(config, train).full_sort_predict(batch)
    histories = [items[:length].tolist() for items, length in zip(batch["item_id_list"], batch["item_length"])]
    return histories, scores.tolist(), test, config


def train_interactions(view) -> list[tuple[int, int, int]]:
    rows = zip(*(column.tolist() for column in view.interactions))
    return [(user, item, time) for user, item, time in rows if time < view.split.cuts[0]]


def check(scores: list[float], expected) -> None:
    """Every item, also one that the history holds, has the score that `expected(item)` says."""
    assert scores[1:] == pytest.approx([expected(item) for item in range(1, len(scores))], abs=1e-5)


def test_popularity_counts_training_interactions(tiny_dataset):
    _, scores, test, _ = scored("MostPop", tiny_dataset)
    counts = Counter(item for _, item, _ in train_interactions(test))
    for row in scores:
        check(row, counts.__getitem__)


def test_recent_popularity_counts_the_window_then_all(tiny_dataset):
    days = 0.2
    _, scores, test, _ = scored("RecentPop", tiny_dataset, window_days=days)
    train = train_interactions(test)
    start = test.split.cuts[0] - days * 86_400
    recent = Counter(item for _, item, time in train if time >= start)
    ever = Counter(item for _, item, _ in train)
    assert 0 < recent.total() < ever.total()
    for row in scores:
        check(row, lambda item: recent[item] + ever[item] / (ever.total() + 1))
    with pytest.raises(UserError, match="window_days"):
        scored("RecentPop", tiny_dataset, window_days=0)


def test_co_occurrence_counts_common_users_of_the_last_item(tiny_dataset):
    histories, scores, test, _ = scored("ItemCoCount", tiny_dataset)
    train = train_interactions(test)
    users = {item: {user for user, other, _ in train if other == item} for item in range(test.item_num)}
    ever = Counter(item for _, item, _ in train)
    for history, row in zip(histories, scores):
        last = users[history[-1]]
        check(row, lambda item, last=last: len(users[item] & last) + ever[item] / (ever.total() + 1))


@pytest.mark.parametrize("name", ["MostPop", "RecentPop", "ItemCoCount", "SemanticKNN"])
def test_whether_lists_hold_the_history_is_the_protocols(name, tiny_dataset):
    config = Config(
        name, "tiny", config_dict={**tiny_dataset, "topk": [10], "valid_metric": "NDCG@10", "repeatable": False}
    )
    train, _, test = InductiveDataset(config).build()
    model, batch = model_of(config, train), test[torch.arange(len(test))]
    listed = {}
    for repeatable in (True, False):
        items = Ranker(model, train.seen, "keep", repeatable).rank(batch, test.item_num - 1, test.candidates).items
        listed[repeatable] = [set(row) - {-1} for row in items.tolist()]
    for history, every, fewer in zip(batch["earlier_item_id_list"].tolist(), listed[True], listed[False]):
        assert set(history) & every and fewer == every - set(history)


class Counted:
    """A train view of given interactions."""

    train_end = None

    def __init__(self, view, users: np.ndarray, items: np.ndarray, times: np.ndarray) -> None:
        self.view, self.train_interactions, self.split = view, (users, items, times), self

    def __getattr__(self, name: str):
        return getattr(self.view, name)


@pytest.mark.parametrize(("kind", "own"), [(ItemCoCount, {}), (RecentPop, {"window_days": 1})])
def test_equals_come_by_popularity_however_many_interactions_there_are(kind, own, tiny_dataset):
    """Items whose total counts differ by one of four million, and that are equal otherwise."""
    settings = {**tiny_dataset, "topk": [10], "valid_metric": "NDCG@10", **own}
    config = Config(kind.__name__, "tiny", config_dict=settings)
    view = InductiveDataset(config).build()[0]
    once = np.repeat(np.arange(9, 1, -1), 40) + 20  # the last item's users, 40 of each item
    more = np.repeat(np.arange(22, 30), np.arange(500_000, 500_008))  # the higher the id, the more
    items = np.concatenate([np.full(40, 1), once, more])
    users = np.concatenate([np.arange(40), np.tile(np.arange(40), 8), 100 + np.arange(len(more))])
    times = np.concatenate([np.full(40 + len(once), 10**9), np.full(len(more), 10**8)])
    network = adapted(kind)(config, Counted(view, users, items, times))
    history = torch.zeros(1, view.max_item_list_len, dtype=torch.long)
    history[0, 0] = 1
    batch = Interaction({"item_id_list": history, "item_length": torch.tensor([1])})
    candidates = torch.ones(view.item_num, dtype=torch.bool)
    found = Ranker(network, candidates, "keep").rank(batch, 8, candidates).items
    assert found.tolist() == [list(range(29, 21, -1))]


def test_numbers_apart_in_float32():
    rng = np.random.default_rng(0)
    for size in (1, 1e3, 1e7):
        values = rng.integers(0, 50, 5000) * size + rng.integers(0, 5000, 5000) / 5001
        found = apart_in_float32(values)
        assert found.dtype == np.float32
        assert (np.unique(found, return_inverse=True)[1] == np.unique(values, return_inverse=True)[1]).all()
        if size == 1:
            assert (found == values.astype(np.float32)).all()  # what float32 tells apart stays as it is


@pytest.mark.parametrize("last_items", [1, 5, 50])
def test_semantic_knn_is_the_cosine_to_the_mean_of_the_last_items(last_items, tiny_dataset):
    histories, scores, test, config = scored("SemanticKNN", tiny_dataset, last_items=last_items)
    features = load_text_features(config, test)
    for history, row in zip(histories, scores):
        mean = features[history[-last_items:]].mean(0)
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(mean)
        cosine = features @ mean / np.maximum(norms, 1e-12)
        check(row, cosine.__getitem__)
