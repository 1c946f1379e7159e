"""`valid_rows`: which rows are validated on, and where that is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.runs.report import describe_data, few_new_items
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


def views(settings: dict, **more):
    return InductiveDataset(Config("SASRec", "tiny", config_dict={**settings, **more})).build()


def test_the_sample_is_of_the_valid_rows_and_follows_the_seed(tiny_dataset):
    train, valid, test = views(tiny_dataset)
    size = len(valid) // 2
    some = views(tiny_dataset, valid_rows=size)
    assert len(some[1]) == size and set(some[1].rows.tolist()) < set(valid.rows.tolist())
    assert torch.equal(some[1].rows, some[1].rows.sort().values)
    assert torch.equal(some[0].rows, train.rows) and torch.equal(some[2].rows, test.rows)
    assert torch.equal(views(tiny_dataset, valid_rows=size)[1].rows, some[1].rows)
    assert not torch.equal(views(tiny_dataset, valid_rows=size, seed=7)[1].rows, some[1].rows)
    assert torch.equal(views(tiny_dataset, valid_rows=10_000)[1].rows, valid.rows)
    assert some[1].protocol == valid.protocol


def test_a_sampled_row_keeps_its_history_and_target(tiny_dataset):
    valid, some = views(tiny_dataset)[1], views(tiny_dataset, valid_rows=5)[1]
    place = torch.searchsorted(valid.rows, some.rows)
    whole, part = valid[place], some[torch.arange(5)]
    assert all(torch.equal(whole[field], part[field]) for field in ("user_id", "item_id", "item_id_list"))


def test_what_a_list_can_hold_of_new_items_is_said(tiny_dataset):
    """Plain loops over the rows; where all new items fit into a list, recall of them says nothing."""
    train, valid, test = views(tiny_dataset)
    _, items, _ = train.train_interactions
    for view in (valid, test):
        seen, ranked = set(items.tolist()), view.candidates.nonzero().squeeze(1).tolist()
        new = sum(item not in seen for item in ranked)
        assert new > 1 and f"unseen ({new} new items)" in describe_data(train, valid, test)
        assert few_new_items(view, [1, new - 1]) == ""
        said = few_new_items(view, [new + 1, new, 1])
        assert f"In {view.phase} there are {new} new items to rank, no more than a list of {new} or {new + 1}" in said
    test.seen = torch.ones_like(test.seen)  # nothing is new: there are no unseen metrics
    assert few_new_items(test, [50]) == ""


def test_a_run_warns_of_lists_that_hold_all_new_items(tiny_dataset, caplog):
    run_recbole("MostPop", "tiny", config_dict={**tiny_dataset, "topk": [2, 40], "valid_metric": "NDCG@2"})
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert any("no more than a list of 40 holds" in sentence and "In test" in sentence for sentence in warned)


def test_the_log_and_the_record_say_so(tiny_dataset):
    train, valid, test = views(tiny_dataset, valid_rows=5)
    total = valid.phase_rows
    assert total > 5 and f"valid 5 rows drawn from {total:,}," in describe_data(train, valid, test)
    result = run_recbole("MostPop", "tiny", config_dict={**tiny_dataset, "valid_rows": 5})
    record = json.loads((Path(result["run_dir"]) / "result.json").read_text())
    assert record["validation"] == {"rows": 5, "of": total} and record["settings"]["valid_rows"] == 5
    assert record["data"]["valid_targets"] == total
    whole = run_recbole("MostPop", "tiny", config_dict=tiny_dataset)
    assert whole["record"]["validation"] == {"rows": total, "of": total}
    assert whole["record"]["metrics"]["test"] == record["metrics"]["test"]
    assert whole["record"]["protocol_hash"] == record["protocol_hash"]


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "half"])
def test_a_number_that_can_not_be_is_refused(wrong, tiny_dataset):
    with pytest.raises(UserError, match="valid_rows"):
        Config("MostPop", "tiny", config_dict={**tiny_dataset, "valid_rows": wrong})
