"""docs/add_a_metric.md: its metric is measured, chosen by, recorded and shown; and read where nobody knows it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from leaderboard_records import make_result
from pages import write_files

from recbole_specgr.leaderboard.archive import read_run
from recbole_specgr.leaderboard.formats import to_markdown
from recbole_specgr.leaderboard.page import DatasetPage, build_page
from recbole_specgr.leaderboard.published import About
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.leaderboard.table import every_number, leaderboard
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.report import three_part_table
from recbole_specgr.settings.config import Config
from recbole_specgr.training import make_trainer

LATENESS = '''
from recbole_specgr.evaluation.metrics.contract import RankMetric


class Lateness(RankMetric):
    """How far down the list the target stands."""

    smaller = True

    def gain(self, rank, k):
        return rank / k
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working directory with the guide's metric and one of which smaller is better."""
    write_files((ROOT / "docs" / "add_a_metric.md").read_text(encoding="utf-8"), tmp_path)
    (tmp_path / "baselines/Lateness.py").write_text(LATENESS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guides_metric(folder, tiny_dataset, monkeypatch):
    settings = {**tiny_dataset, "hidden_size": 8, "inner_size": 8, "n_layers": 1, "epochs": 4, "topk": [5, 10]}
    settings |= {"metrics": ["Recall", "Serendipity", "Lateness"], "valid_metric": "Serendipity@10"}
    monkeypatch.setattr(sys, "argv", ["run_recbole.py", "--model=SASRec", "--dataset=tiny"])  # the page shows it
    settings |= {"learning_rate": 0.03, "train_batch_size": 64}
    run = run_recbole("SASRec", "tiny", config_dict=settings)
    run_dir, k = Path(run["run_dir"]), 10

    # measured: by a plain loop over the lists
    config, model, *_, test = load_data_and_model(run_dir)
    trainer = make_trainer(config, model)
    assert trainer.evaluate(test, load_best_model=False) == run["test_result"]
    view = test._dataset
    counts = view.train_counter
    popular = sorted(range(view.item_num), key=lambda item: (-counts[item], item))[:k]
    values = {"": [], "in_sample_": [], "unseen_": []}
    for ranked, target in zip(trainer.rows["rec.items"].tolist(), trainer.rows["rec.target"].tolist(), strict=True):
        found = float(target in ranked[:k] and target not in popular)
        for part in ("", "in_sample_" if view.seen[target] else "unseen_"):
            values[part].append(found)
    for part, of_part in values.items():
        assert run["test_result"][f"{part}serendipity@{k}"] == pytest.approx(np.mean(of_part), abs=1e-5)

    assert 0 < run["test_result"]["serendipity@10"] < run["test_result"]["recall@10"]

    # chosen by
    history = run["record"]["training"]["train"]["history"]
    scores = [epoch["serendipity@10"] for epoch in history]
    assert scores[run["record"]["training"]["train"]["best_epoch"] - 1] == max(scores)
    later = Config("SASRec", "tiny", config_dict={**settings, "valid_metric": "unseen_Lateness@5"})
    assert config["valid_metric_bigger"] and not later["valid_metric_bigger"]

    # recorded and shown
    record = read_record(run_dir / "result.json")
    assert record["protocol"]["metrics"] == ["lateness", "recall", "serendipity"]
    table = three_part_table(run["test_result"], config["metrics"], config["topk"], width=500)
    assert "Serendipity@10" in table and "Lateness@5" in table
    result = read_run(run_dir)
    (board,) = summarise([result])
    assert {"Serendipity@10", "Lateness@10"} <= set(re.findall(r"\w+@\d+", leaderboard([board], to_markdown)))
    assert board.main_metric == "recall"
    row = board.rows[0]
    assert row.values["lateness@10"].interval and row.values["serendipity@10"].interval is None
    page = build_page([DatasetPage("tiny", About("Tiny"), [board], [])])
    assert "Serendipity@10" in page

    # read on a machine that does not have the files
    monkeypatch.chdir(folder / "baselines")
    assert read_record(run_dir / "result.json") == json.loads((run_dir / "result.json").read_text())
    (board,) = summarise([read_run(run_dir)])
    assert board.rows[0].values["serendipity@10"].mean == run["test_result"]["serendipity@10"]
    assert board.rows[0].values["lateness@10"].interval is None and board.place("lateness@10", board.rows[0]) is None
    assert "serendipity@10" in {column.title for column in every_number(board).columns}


def test_smaller_is_better_in_tables(folder):
    results = [
        make_result(model, good=good, metrics=["lateness", "recall"], group=group)
        for model, good, group in (("FDSA", 0.3, "ID"), ("TIGER", 0.6, "ID"), ("SpecGRPP", 0.4, "ours"))
    ]
    (board,) = summarise(results)
    rows = {row.model: row for row in board.rows}
    for key, best in (("recall@50", "TIGER"), ("lateness@50", "FDSA")):
        means = {model: row.values[key].mean for model, row in rows.items()}
        assert means["FDSA"] < means["SpecGRPP"] < means["TIGER"], "the test wants misses to be worth nothing"
        assert board.best_baseline[key] == best
        assert board.place(key, rows[best]) == 1 and board.place(key, rows["SpecGRPP"]) == 2
        assert rows["SpecGRPP"].comparisons[key].change == pytest.approx(means["SpecGRPP"] / means[best] - 1)
