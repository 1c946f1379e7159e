"""What the lists of an evaluation are made of, and what a run says of it."""

from __future__ import annotations

import logging

import pytest
import torch

from recbole_specgr.models.contract import RankedList
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.report import places_lost
from recbole_specgr.training.listed_items import ListedItems, ListedShares
from recbole_specgr.training.trainers import make_trainer


@pytest.mark.parametrize("drafts", [False, True])
def test_shares_are_those_of_plain_loops(drafts: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    counts, listed, lists = [0, 0], ListedItems(), 0
    for size in (4, 3):
        items = torch.randint(-1, 9, (size, 5), generator=generator)
        items[items == 0] = -1
        rounds = torch.where(items > 0, torch.randint(-1, 2, items.shape, generator=generator), -1)
        history = torch.randint(0, 9, (size, 4), generator=generator)
        listed.add(
            RankedList(items, torch.zeros(items.shape), round_of=rounds if drafts else None), history.__getitem__
        )
        for row in range(size):
            had = set(history[row].tolist()) - {0}
            lists += sum(item > 0 for item in items[row].tolist())
            counts[0] += sum(number >= 0 for number in rounds[row].tolist())
            counts[1] += sum(item in had for item in items[row].tolist())
    assert all(counts)
    assert listed.shares() == ListedShares(counts[0] / lists if drafts else None, counts[1] / lists)


def test_no_list_has_no_shares() -> None:
    assert ListedItems().shares() is None


def test_a_run_says_how_many_places_go_to_what_its_users_have_had(tiny_dataset, caplog) -> None:
    """In the history that the model reads or before it. It says nothing where the lists are without that."""
    settings = {**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5", "MAX_ITEM_LIST_LENGTH": 2}
    said = "are such as their user has had, and no target is. --repeatable=False leaves them out"
    for repeatable in (True, False):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            result = run_recbole("MostPop", "tiny", config_dict={**settings, "repeatable": repeatable})
        config, model, *_, valid, test = load_data_and_model(result["run_dir"])
        trainer = make_trainer(config, model)
        trainer.evaluate(valid, load_best_model=False)
        assert trainer.listed is None
        trainer.evaluate(test, load_best_model=False)
        view, places, had, before = test._dataset, 0, 0, 0
        _, all_items, _ = view.interactions
        for row, (start, end) in enumerate(zip(view.starts.tolist(), view.rows.tolist(), strict=True)):
            earlier = set(all_items[start:end].tolist())
            ranked = trainer.ranker(view).rank(view[[row]], 5, view.candidates).items[0].tolist()
            places += sum(item > 0 for item in ranked)
            had += len(set(ranked) & earlier)
            before += len(set(ranked) & (earlier - set(view[[row]]["item_id_list"][0].tolist())))
            assert all_items[end] not in earlier
        assert trainer.listed == ListedShares(None, had / places)
        assert (had > before > 0) if repeatable else (had == 0)
        assert (said in caplog.text) is repeatable


def test_few_places_that_are_lost_are_not_told_of() -> None:
    assert "30% of the items in the lists" in places_lost(0.3)
    assert places_lost(0.001) == ""
