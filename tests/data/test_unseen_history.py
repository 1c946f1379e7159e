"""Unseen items in the histories of models that can't embed them."""

from __future__ import annotations

import pytest
import torch
from recbole.data import data_preparation
from recbole.data.interaction import Interaction

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.unseen_history import without_unseen
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer
from recbole_specgr.training.steadiness import FEW

SHORT = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "topk": [5, 10], "valid_metric": "NDCG@10"}


def histories(interaction) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(interaction["item_id_list"], interaction["item_length"])]


def filtered(lists: list[list[int]], seen: torch.Tensor) -> list[list[int]]:
    return [[item for item in items if seen[item]] or items for items in lists]


def test_only_seen_items_stay_in_their_order():
    generator = torch.Generator().manual_seed(1)
    seen = torch.rand(30, generator=generator) < 0.4
    seen[0] = False
    length = torch.randint(1, 8, (200,), generator=generator)
    items = torch.randint(1, 30, (200, 8), generator=generator)
    items = items.where(torch.arange(8) < length[:, None], 0)
    before = Interaction({"item_id_list": items, "item_length": length, "user_id": torch.arange(200)})
    before.update(Interaction({"timestamp_list": items * 1000}))
    after = without_unseen(before, "item_id_list", "item_length", seen, ("timestamp_list", "rating_list"))
    assert histories(after) == filtered(histories(before), seen)
    assert (after["item_id_list"].ne(0).sum(1) == after["item_length"]).all() and (after["item_length"] > 0).all()
    assert torch.equal(after["user_id"], before["user_id"])
    assert torch.equal(after["timestamp_list"], after["item_id_list"] * 1000)  # each stays with its item
    assert torch.equal(before["item_id_list"], items)  # the batch itself is left alone
    assert any(not any(seen[item] for item in row) for row in histories(before))  # the odd case is among them


@pytest.mark.parametrize("model", ["SASRec", "UniSRec"])
@pytest.mark.parametrize("setting", ["keep", "drop"])
def test_the_setting_decides_what_a_transductive_model_reads(model, setting, tiny_dataset, monkeypatch):
    config = Config(model, "tiny", config_dict={**tiny_dataset, **SHORT, "unseen_history": setting})
    dataset = InductiveDataset(config)
    train, _, test = data_preparation(config, dataset)
    network = model_of(config, train._dataset)
    trainer = make_trainer(config, network)
    read = []
    encode = type(network).encode_users

    def watched(self, interaction):
        read.extend(histories(interaction))
        return encode(self, interaction)

    monkeypatch.setattr(type(network), "encode_users", watched)
    trainer.evaluate(test, load_best_model=False)
    given = histories(test._dataset[torch.arange(len(test._dataset))])
    dropped = filtered(given, test._dataset.seen)
    assert dropped != given
    expected = dropped if (model, setting) == ("SASRec", "drop") else given
    assert read == expected + expected[:FEW]  # the first are asked again, to see whether their lists are steady


def test_another_choice_is_refused(tiny_dataset):
    with pytest.raises(UserError, match=r"unseen_history.*keep or drop.*zero"):
        run_recbole("SASRec", "tiny", config_dict={**tiny_dataset, **SHORT, "unseen_history": "zero"})
