"""Runs under leave-one-out: models of every kind, tuning, the record, the ranks, and serving what was trained."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import TINY_SASREC, TINY_SPECGR

from recbole_specgr.data.splits.contract import described
from recbole_specgr.leaderboard.archive import read_run
from recbole_specgr.leaderboard.formats import to_markdown
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.leaderboard.table import leaderboard
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.checks import read_record
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.export import export_run
from recbole_specgr.training import make_trainer

MODELS = {
    "SASRec": TINY_SASREC,
    "S3Rec": {**TINY_SASREC, "pretrain_epochs": 1},
    "SpecGRPP": {**TINY_SPECGR, "epochs": 1, "tune": {"accept_threshold": [-3.0, -3.5]}},
    "RecentPop": {"topk": [5, 10], "valid_metric": "NDCG@10", "window_days": 0.1},
    "ItemCoCount": {"topk": [5, 10], "valid_metric": "NDCG@10"},
}


def sequences(tiny_dataset) -> dict[str, list[tuple[str, int]]]:
    """Each user's items with their times, in order. No two of the times are equal."""
    with open(f"{tiny_dataset['data_path']}/tiny/tiny.inter") as file:
        rows = [line.split() for line in file][1:]
    found = defaultdict(list)
    for user, item, time in sorted(rows, key=lambda row: int(row[2])):
        found[user].append((item, int(time)))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_a_run_ranks_each_users_last_interaction_and_loads_again(model, tiny_dataset):
    result = run_recbole(model, "tiny", config_dict={**tiny_dataset, **MODELS[model], "split": "leave_one_out"})
    by_user = sequences(tiny_dataset)
    assert min(map(len, by_user.values())) > 2
    trained = Counter(item for done in by_user.values() for item, _ in done[:-2])
    first = {}
    for done in by_user.values():
        for item, time in done:
            first[item] = min(time, first.get(item, time))

    ranks = np.load(f"{result['run_dir']}/ranks.npz")
    assert dict(zip(ranks["user"], ranks["item"])) == {user: done[-1][0] for user, done in by_user.items()}
    assert ranks["history"].tolist() == [len(by_user[user]) - 1 for user in ranks["user"]]
    assert ranks["popularity"].tolist() == [trained[item] for item in ranks["item"]]
    assert ranks["unseen"].tolist() == [item not in trained for item in ranks["item"]]
    age = [(by_user[user][-1][1] - first[item]) / 86_400 for user, item in zip(ranks["user"], ranks["item"])]
    assert ranks["age_days"] == pytest.approx(age, abs=1e-4)

    record = read_record(f"{result['run_dir']}/result.json")
    assert record["protocol"]["split"] == "leave_one_out" and record["settings"]["split"] == "leave_one_out"
    assert described(record["protocol"]).startswith("test: each user's last interaction")
    assert record["data"]["test_targets"] == record["data"]["valid_targets"] == len(by_user)

    config, network, *_, test = load_data_and_model(result["run_dir"])
    trainer = make_trainer(config, network)
    assert trainer.evaluate(test, load_best_model=False) == result["test_result"]


def test_recommendations_are_the_lists_that_were_measured_and_the_exports_card_names_the_split(tiny_dataset, tmp_path):
    settings = {**tiny_dataset, **TINY_SASREC, "split": "leave_one_out", "metrics": ["NDCG", "ItemCoverage"]}
    result = run_recbole("SASRec", "tiny", config_dict=settings)
    ranks = np.load(f"{result['run_dir']}/ranks.npz")
    by_user = sequences(tiny_dataset)
    histories = [[item for item, _ in by_user[user][:-1]] for user in ranks["user"]]
    lists = Recommender.load(result["run_dir"]).recommend(histories, 10).items
    found = [items.index(item) + 1 if item in items else 0 for items, item in zip(lists, ranks["item"])]
    assert found == ranks["rank"].tolist() and torch.tensor(found).any()
    export_run(Path(result["run_dir"]), tmp_path / "exported")
    assert "each user's last interaction" in (tmp_path / "exported" / "README.md").read_text()


def test_popularity_of_the_last_days_ends_with_the_last_training_interaction(tiny_dataset):
    settings = {**tiny_dataset, **MODELS["RecentPop"], "split": "leave_one_out"}
    result = run_recbole("RecentPop", "tiny", config_dict=settings)
    _, network, *_ = load_data_and_model(result["run_dir"])
    train = [row for done in sequences(tiny_dataset).values() for row in done[:-2]]
    end = max(time for _, time in train) + 1
    recent = Counter(item for item, time in train if time >= end - 0.1 * 86_400)
    assert 0 < recent.total() < len(train)
    assert sorted(network.counts.floor().int().tolist()) == sorted(
        recent[item] for item in [None, *(f"i{n}" for n in range(80))]
    )


def test_the_two_protocols_stand_apart_on_a_board(tiny_dataset):
    runs = [
        run_recbole("MostPop", "tiny", config_dict={**tiny_dataset, **MODELS["ItemCoCount"], "split": split})["run_dir"]
        for split in ("by_time", "leave_one_out")
    ]
    records = [read_record(Path(run) / "result.json") for run in runs]
    shown = leaderboard(summarise(read_run(Path(run)) for run in runs), to_markdown)
    lines = [line for line in shown.splitlines() if "protocol" in line]
    assert len(lines) == 2  # a table each
    for record, split in zip(records, ("by_time", "leave_one_out")):
        (line,) = [line for line in lines if record["protocol_hash"] in line]
        assert ("split leave_one_out" in line) == (split == "leave_one_out")
    fewest = min(map(len, sequences(tiny_dataset).values()))
    assert f"at least {fewest} interactions a user" in "".join(lines)
