"""The models without parameters against counting by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
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


def check(scores: list[float], history: list[int], expected) -> None:
    """Items rank as `expected(item)` says; the history's are out."""
    for item, score in enumerate(scores):
        if item in history:
            assert score == -math.inf
        elif item:
            assert score == pytest.approx(expected(item), abs=1e-5)


def test_popularity_counts_training_interactions(tiny_dataset):
    histories, scores, test, _ = scored("MostPop", tiny_dataset)
    counts = Counter(item for _, item, _ in train_interactions(test))
    for history, row in zip(histories, scores):
        check(row, history, counts.__getitem__)


def test_recent_popularity_counts_the_window_then_all(tiny_dataset):
    days = 0.2
    histories, scores, test, _ = scored("RecentPop", tiny_dataset, window_days=days)
    train = train_interactions(test)
    start = test.split.cuts[0] - days * 86_400
    recent = Counter(item for _, item, time in train if time >= start)
    ever = Counter(item for _, item, _ in train)
    assert 0 < recent.total() < ever.total()
    for history, row in zip(histories, scores):
        check(row, history, lambda item: recent[item] + ever[item] / (ever.total() + 1))
    with pytest.raises(UserError, match="window_days"):
        scored("RecentPop", tiny_dataset, window_days=0)


def test_co_occurrence_counts_common_users_of_the_last_item(tiny_dataset):
    histories, scores, test, _ = scored("ItemCoCount", tiny_dataset)
    train = train_interactions(test)
    users = {item: {user for user, other, _ in train if other == item} for item in range(test.item_num)}
    ever = Counter(item for _, item, _ in train)
    for history, row in zip(histories, scores):
        last = users[history[-1]]
        check(row, history, lambda item, last=last: len(users[item] & last) + ever[item] / (ever.total() + 1))


@pytest.mark.parametrize("last_items", [1, 5, 50])
def test_semantic_knn_is_the_cosine_to_the_mean_of_the_last_items(last_items, tiny_dataset):
    histories, scores, test, config = scored("SemanticKNN", tiny_dataset, last_items=last_items)
    features = load_text_features(config, test)
    for history, row in zip(histories, scores):
        mean = features[history[-last_items:]].mean(0)
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(mean)
        cosine = features @ mean / np.maximum(norms, 1e-12)
        check(row, history, cosine.__getitem__)
