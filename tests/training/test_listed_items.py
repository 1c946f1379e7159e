"""What the lists of an evaluation are made of, and what a run says of it."""

from __future__ import annotations

import logging

import pytest
import torch

from recbole_specgr.models.contract import RankedList
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.report import places_lost_to_the_history
from recbole_specgr.training.listed_items import ListedItems, ListedShares
from recbole_specgr.training.trainers import make_trainer


@pytest.mark.parametrize("drafts", [False, True])
def test_shares_are_those_of_plain_loops(drafts: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    counts, listed, lists = [0, 0, 0], ListedItems(), 0
    for size in (4, 3):
        items = torch.randint(-1, 9, (size, 5), generator=generator)
        items[items == 0] = -1
        rounds = torch.where(items > 0, torch.randint(-1, 2, items.shape, generator=generator), -1)
        history = torch.randint(0, 9, (size, 4), generator=generator)
        targets = torch.randint(1, 9, (size,), generator=generator)
        listed.add(RankedList(items, torch.zeros(items.shape), round_of=rounds if drafts else None), history, targets)
        for row in range(size):
            had = set(history[row].tolist()) - {0}
            lists += sum(item > 0 for item in items[row].tolist())
            counts[0] += sum(number >= 0 for number in rounds[row].tolist())
            counts[1] += sum(item in had for item in items[row].tolist())
            counts[2] += targets[row].item() in had
    assert all(counts)
    assert listed.shares() == ListedShares(counts[0] / lists if drafts else None, counts[1] / lists, counts[2] / 7)


def test_no_list_has_no_shares() -> None:
    assert ListedItems().shares() is None


def test_a_run_says_how_many_places_the_history_takes(tiny_dataset, caplog) -> None:
    """And says nothing where the lists are without it."""
    settings = {**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5"}
    said = "are in their user's history, and no target is. --repeatable=False leaves them out"
    for repeatable in (True, False):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            result = run_recbole("MostPop", "tiny", config_dict={**settings, "repeatable": repeatable})
        config, model, *_, test = load_data_and_model(result["run_dir"])
        trainer = make_trainer(config, model)
        trainer.evaluate(test, load_best_model=False)
        places, had, repeats = 0, 0, 0
        for interaction, *_, targets in test:
            histories = interaction["item_id_list"].tolist()
            ranked = trainer.ranker(test._dataset).rank(interaction, 5, test._dataset.candidates).items.tolist()
            for history, items, target in zip(histories, ranked, targets.tolist(), strict=True):
                places += sum(item > 0 for item in items)
                had += len(set(items) & (set(history) - {0}))
                repeats += target in history
        assert trainer.listed == ListedShares(None, had / places, repeats / len(test._dataset))
        assert (had > 0) is repeatable
        assert (said in caplog.text) is (repeatable and not repeats)


def test_targets_that_repeat_are_no_reason_to_leave_the_history_out() -> None:
    assert "30% of the items in the lists" in places_lost_to_the_history(0.3, 0.0)
    assert places_lost_to_the_history(0.3, 0.001) == places_lost_to_the_history(0.001, 0.0) == ""
