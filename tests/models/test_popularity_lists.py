"""Popularity's lists, ranked once for everyone, against ranking every user's scores."""

from __future__ import annotations

import pytest
import torch

import recbole_specgr.models.mostpop as module
from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.evaluation.ranking import rank_scores
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.settings.config import Config


@pytest.mark.parametrize("name", ["MostPop", "RecentPop"])
@pytest.mark.parametrize("k", [5, 79])
def test_the_list_for_everyone_without_the_history_is_each_users_list(name, k, tiny_dataset, monkeypatch):
    config = Config(name, "tiny", config_dict=tiny_dataset)
    train, valid, test = InductiveDataset(config).build()
    model = model_of(config, train)
    times = []
    monkeypatch.setattr(module, "rank_scores", lambda *given: times.append(given[1]) or rank_scores(*given))
    for view in (valid, test):
        ranker, batch = Ranker(model, view.seen, "drop"), view[torch.arange(len(view))]
        candidates, allowed = view.candidates, view.candidates & view.seen
        found = [ranker.rank(users, k, candidates) for users in (batch[:7], batch)]
        expected = rank_scores(model.full_sort_predict(batch), k, allowed)
        assert torch.equal(found[1].items, expected) and torch.equal(found[0].items, expected[:7])
        listed = expected >= 0
        assert torch.equal(found[1].scores[listed], model.counts[expected[listed]])
        assert (found[1].scores[~listed] == -torch.inf).all()
    assert len(times) == 1  # of seen items there are the same in both phases
