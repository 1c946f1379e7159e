"""When the items of a history were used: served lists of models that read it are those of the evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_tiny_dataset
from tiny_runs import run

from recbole_specgr.commands.command_line import main
from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.history_files import read_histories
from recbole_specgr.serving.request import as_times
from recbole_specgr.serving.show import user_interactions, user_page
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer

SMALL = {"epochs": 6, "eval_step": 0, "learning_rate": 0.05, "train_batch_size": 64, "MAX_ITEM_LIST_LENGTH": 7}
SMALL |= {"hidden_size": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.0}
MISSING = "is given no times"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("timed-runs")
    write_tiny_dataset(folder / "dataset")
    return {model: Path(run(model, folder, **SMALL)["run_dir"]) for model in ("HSTU", "TextHSTU")}


def evaluated(run_dir: Path) -> tuple[list[list[str]], list[list[int]], list[list[str]]]:
    """The histories of the test rows, the times of their items, and the lists of the run's evaluation in fp64."""
    config, network, *_, test = load_data_and_model(run_dir)
    trainer = make_trainer(config, network.double())
    trainer.evaluate(test, load_best_model=False)
    view = test._dataset
    ends = view.rows.numpy()
    users, items, times = view.interactions
    starts = [np.flatnonzero(users == users[end])[0] for end in ends]
    histories = [view.id2token(view.iid_field, items[start:end]).tolist() for start, end in zip(starts, ends)]
    lists = [view.id2token(view.iid_field, row[row >= 0].numpy()).tolist() for row in trainer.rows["rec.items"]]
    return histories, [times[start:end].tolist() for start, end in zip(starts, ends)], lists


@pytest.mark.parametrize("model", ["HSTU", "TextHSTU"])
def test_lists_with_times_are_those_of_the_test_phase(model, runs, caplog):
    histories, times, expected = evaluated(runs[model])
    recommender = Recommender.load(runs[model])
    recommender.model.eval()  # maps the items' texts anew, in fp64 as the evaluation: a run keeps them in float32
    assert recommender.recommend(histories, 10, times=times).items == expected
    assert MISSING not in caplog.text
    milliseconds = [[1000 * time for time in one] for one in times]
    assert recommender.recommend(histories, 10, times=milliseconds, batch_size=7).items == expected
    with_unknown = [["nobody", *history] for history in histories]
    assert recommender.recommend(with_unknown, 10, times=[[1, *one] for one in times]).items == expected
    for _ in range(2):
        assert recommender.recommend(histories, 10).items != expected
    assert caplog.text.count(MISSING) == 1


def test_an_explanation_reads_times(runs):
    histories, times, expected = evaluated(runs["HSTU"])
    recommender = Recommender.load(runs["HSTU"])
    scores = recommender.recommend(histories[:5], 10, times=times[:5]).scores
    for history, at, items, of_list in zip(histories, times, expected, scores):
        explained = recommender.explain(history, items[0], 10, times=at)
        assert explained.place == 1 and explained.score == pytest.approx(of_list[0], abs=1e-6)


def test_a_model_without_times_takes_them_and_does_not_miss_them(tiny_runs, caplog):
    recommender = Recommender.load(tiny_runs / "SASRec")
    one = recommender.recommend([["i3", "i4"]], 5, times=[[1, 2]])
    assert one.items == recommender.recommend([["i3", "i4"]], 5).items and MISSING not in caplog.text


@pytest.mark.parametrize("name", ["h.csv", "h.jsonl", "h.parquet"])
def test_a_file_of_histories_may_have_times(name, runs, tmp_path, capsys, caplog):
    histories, times, expected = evaluated(runs["HSTU"])
    path, out = tmp_path / name, tmp_path / "out.jsonl"
    frame = pd.DataFrame({"times": times, "user_id": [f"u{n}" for n in range(len(times))], "history": histories})
    if path.suffix == ".csv":
        for column in ("times", "history"):
            frame[column] = [" ".join(map(str, cell)) for cell in frame[column]]
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    words = ["recommend", runs["HSTU"], "--histories", path, "--k", "10", "--out", out, "--include-history"]
    assert main([*map(str, words)]) == 0 and MISSING not in capsys.readouterr().err + caplog.text
    assert [json.loads(line)["items"] for line in out.read_text().splitlines()] == expected
    frame.drop(columns="times").to_json(tmp_path / "without.jsonl", orient="records", lines=True)
    assert all(piece.times is None for piece in read_histories(tmp_path / "without.jsonl", 8))


def test_a_users_page_and_explanation_have_the_times_of_the_data(runs, caplog, capsys):
    recommender = Recommender.load(runs["HSTU"])
    history, times = user_interactions(recommender, "u3")
    assert len(history) == len(times) and times == sorted(times) and times[0] >= 1_600_000_000
    best = recommender.recommend([history], 3, exclude="history", times=[times])[0]
    assert all(f"{entry.score:.4f}" in user_page(recommender, "u3", 3) for entry in best)
    words = ["explain", runs["HSTU"], "--item", best[0].item]
    assert main([*map(str, words), "--user", "u3"]) == 0
    shown = capsys.readouterr().out
    assert main([*map(str, words), "--history", *history, "--times", *map(str, times)]) == 0
    assert capsys.readouterr().out == shown and MISSING not in caplog.text


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ("123", "must be a list for each history"),
        ([5], "of history 0 they are [5]"),
        ([[5]], "History 0 has 2 items, but 1 times"),
        ([[5, 6], [7, 8]], "times of 2 histories, but 1 histories"),
        ([[5, 6.5]], "[6.5] is none"),
        ([[5, None]], "[None] is none"),
        ([["5", "yesterday"]], "[yesterday] is none"),
        ([[5, 2**70]], f"[{2**70}] is none"),
        ([[5, 1_600_000_000 * 10**9]], "[1600000000000000000] is none"),  # nanoseconds would be read as microseconds
    ],
)
def test_times_that_can_not_be_are_an_error(times, says):
    with pytest.raises(UserError) as error:
        as_times(times, [["a", "b"]], "s")
    assert says in str(error.value)


def test_times_are_read_exactly():
    (seconds,) = as_times([[1_600_000_000_123_456, "1600000001123456"]], [["a", "b"]], "us")
    assert seconds.tolist() == [1_600_000_000, 1_600_000_001] and seconds.dtype == np.int64
    assert [one.tolist() for one in as_times([[], [4, 5.0]], [[], ["a", "b"]], "s")] == [[], [4, 5]]
    assert torch.from_numpy(seconds).dtype == torch.long and as_times(None, [["a"]], "s") is None


def test_times_are_read_in_the_unit_of_the_data_whatever_their_size(caplog):
    early = [[2_000, 31_536_000_000]]  # in ms: two seconds, and a year after 1970
    (seconds,) = as_times(early, [["a", "b"]], "ms")
    assert seconds.tolist() == [2, 31_536_000]
    assert "look as if they were in [s]: the largest is 31536000000 (1971-01-01" in caplog.text
    (guessed,) = as_times(early, [["a", "b"]], None)  # of a run of an earlier version, which did not keep the unit
    assert guessed.tolist() == early[0]
    (finer,) = as_times([[1_600_000_000_000, 0]], [["a", "b"]], "s")  # no seconds: they would be of the year 52671
    assert finer.tolist() == [1_600_000_000, 0]
    caplog.clear()
    as_times([[1_600_000_000_000]], [["a"]], "ms"), as_times([[]], [[]], "ms"), as_times([[5]], [["a"]], "s")
    assert not caplog.records
