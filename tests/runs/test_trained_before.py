"""Runs whose parameters another run has trained: `trained_run`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import write_tiny_dataset
from tiny_runs import TINY_SASREC, TINY_SPECGR, TINY_T5, lists, run

from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.runs.comparison import EVALUATION
from recbole_specgr.settings.resources import PACKAGE
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import StagedTrainer

TEXT = {"epochs": 2, "hidden_size": 16, "inner_size": 16, "MAX_ITEM_LIST_LENGTH": 10}
TIGER = {**TINY_T5, "epochs": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained_before")
    write_tiny_dataset(folder / "dataset")
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return run("TextSASRec", folder, **TEXT)


@pytest.fixture(scope="module")
def tiger(folder):
    return run("TIGER", folder, **TIGER, tune=None)


@pytest.fixture
def untrained(monkeypatch):
    """Whoever trains fails."""
    monkeypatch.setattr(StagedTrainer, "fit", None)


def test_it_is_the_run_that_training_again_would_give(text, folder, monkeypatch):
    grid = {"tune": {"unseen_bonus": [0.0, 1.0, 4.0]}}
    trained = run("TextSASRec_bonus", folder, **TEXT, **grid)
    monkeypatch.setattr(StagedTrainer, "fit", None)
    taken = run("TextSASRec_bonus", folder, **TEXT, **grid, trained_run=text["run_dir"])
    for key in ("test_result", "best_valid_result", "best_valid_score"):
        assert taken[key] == trained[key]
    theirs, ours = trained["record"], taken["record"]
    assert ours["tuning"] == theirs["tuning"] and ours["settings"] == theirs["settings"]
    assert ours["parameters"] == theirs["parameters"] and ours["display_name"] == "TextSASRec + bonus"
    assert ours["training"] == text["record"]["training"], "what it took to train stands in the record"
    assert ours["peak_memory_mb"]["host"] >= text["record"]["peak_memory_mb"]["host"]


def test_settings_of_inference_and_of_evaluation_may_be_others(tiger, folder, untrained):
    again = run("TIGER", folder, **{**TIGER, "topk": [5], "valid_metric": "NDCG@5"}, trained_run=tiger["run_dir"])
    assert again["test_result"]["ndcg@5"] == tiger["test_result"]["ndcg@5"]
    fewer = run(
        "TIGER",
        folder,
        **{**TIGER, "num_beams": 5, "topk": [5], "valid_metric": "NDCG@5"},
        tune=None,
        trained_run=tiger["run_dir"],
    )
    assert fewer["record"]["settings"]["num_beams"] == 5
    expected = _with_beams(tiger["run_dir"], 5)
    assert torch.equal(lists(fewer["run_dir"])[0], expected)


def _with_beams(run_dir: str, num_beams: int) -> torch.Tensor:
    """The lists of five of the run that was trained, by way of the interface for programs."""
    from recbole_specgr.training import make_trainer

    config, model, *_, test_data = load_data_and_model(run_dir, {"topk": [5], "valid_metric": "NDCG@5"})
    model.decoding["num_beams"] = num_beams
    trainer = make_trainer(config, model)
    trainer.evaluate(test_data, load_best_model=False)
    return trainer.rows["rec.items"]


def test_it_needs_nothing_outside_of_its_folder(folder, tmp_path):
    """The model of two stages has the parameters of the last one, and the ids of the run, not of its own settings."""
    source = shutil.copytree(run("SpecGRPP", folder, **TINY_SPECGR)["run_dir"], tmp_path / "source")
    before = lists(str(source))
    inference = {key: TINY_SPECGR[key] for key in ("num_beams", "draft_size", "accept_threshold", "tune")}
    taken = run("SpecGRPP", folder, **inference, trained_run=str(source))  # tokenizer, stages and sizes are the run's
    shutil.rmtree(source)
    after = lists(taken["run_dir"])
    assert torch.equal(before[0], after[0]) and before[1] == after[1] == taken["test_result"]


def test_what_nobody_gives_of_the_training_is_the_runs(folder, monkeypatch):
    """Also what a preset set there, and the seed."""
    settings = {"epochs": 1, "hidden_size": 16, "seed": 7, "preset": "small"}
    source = run("TextSASRec", folder, **settings)
    theirs = source["record"]["settings"]
    assert theirs["train_batch_size"] == 32, "the preset's, where the property file has 2048"
    monkeypatch.setattr(StagedTrainer, "fit", None)
    taken = run("TextSASRec", folder, trained_run=source["run_dir"])
    assert taken["test_result"] == source["test_result"]
    keys = ("epochs", "hidden_size", "train_batch_size", "stopping_step", "MAX_ITEM_LIST_LENGTH")
    assert all(taken["record"]["settings"][key] == theirs[key] for key in keys)
    assert taken["record"]["seed"] == 7 and "tuning" not in taken["record"]
    tuned = run("TextSASRec_bonus", folder, trained_run=source["run_dir"])
    assert list(tuned["record"]["tuning"]["choice"]) == ["unseen_bonus"], "the baseline's own grid is tuned as usual"
    with pytest.raises(UserError, match=re.escape("[epochs] is 2, there it is 1. Give them as they are there, or not")):
        run("TextSASRec", folder, epochs=2, trained_run=source["run_dir"])


def test_settings_of_inference_are_not_taken(tiger, folder, untrained):
    """The run that was trained had ten beams; TIGER has 50 where nobody says how many."""
    taken = run("TIGER", folder, topk=[5], valid_metric="NDCG@5", trained_run=tiger["run_dir"])
    assert taken["record"]["settings"]["num_beams"] == 50 and taken["record"]["settings"]["d_model"] == 16
    assert torch.equal(lists(taken["run_dir"])[0], _with_beams(tiger["run_dir"], 50))


def test_what_the_baselines_own_file_says_otherwise_is_refused(text, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Faster.yaml").write_text("base: TextSASRec\nlearning_rate: 0.5\n")
    with pytest.raises(UserError, match=re.escape("[learning_rate] is 0.5, there it is 0.001")):
        run("Faster", folder, trained_run=text["run_dir"])


def test_one_that_was_interrupted_in_tuning_goes_on(text, folder, monkeypatch):
    """With the parameters that it took, and not with new ones."""
    settings = {**TEXT, "tune": {"unseen_bonus": [0.0, 1.0, 4.0]}, "trained_run": text["run_dir"]}
    whole = run("TextSASRec_bonus", folder, **settings)
    run_dir = str(folder / "interrupted")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("recbole_specgr.quick_start.tune", interrupted)
        run("TextSASRec_bonus", folder, **settings, run_dir=run_dir)
    resumed = run("TextSASRec_bonus", folder, **settings, resume=run_dir)
    assert resumed["record"]["tuning"] == whole["record"]["tuning"] and resumed["test_result"] == whole["test_result"]


def test_one_of_recboles_models_may_be_taken(folder, monkeypatch):
    source = run("SASRec", folder, **TINY_SASREC)
    monkeypatch.setattr(StagedTrainer, "fit", None)
    assert run("SASRec", folder, **TINY_SASREC, trained_run=source["run_dir"])["test_result"] == source["test_result"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"learning_rate": 0.5}, "[learning_rate] is 0.5, there it is 0.001"),
        ({"seed": 7}, "[seed] is 7, there it is 2026"),
        ({"map_size": 8}, "does not fit this TextSASRec: "),
    ],
)
def test_what_was_trained_otherwise_is_refused(text, folder, changed, named):
    runs = set((folder / "runs").glob("*/*/*"))
    with pytest.raises(UserError, match=re.escape(named)):
        run("TextSASRec", folder, **TEXT, **changed, trained_run=text["run_dir"])
    assert set((folder / "runs").glob("*/*/*")) == runs, "nothing is left behind"


def test_other_models_and_data_and_models_of_models_are_refused(text, tiger, folder, tmp_path):
    with pytest.raises(UserError, match=r"\[trained_run\]: .* is a run of TIGER, not of TextSASRec"):
        run("TextSASRec_bonus", folder, **TEXT, trained_run=tiger["run_dir"])
    with pytest.raises(UserError, match=r"\[trained_run\]: .* is of other data: its split_times is"):
        run("TextSASRec", folder, **TEXT, timestamp_split=[0.7, 0.85], trained_run=text["run_dir"])
    with pytest.raises(UserError, match=r"\[trained_run\]: .*nowhere is no run"):
        run("TextSASRec", folder, **TEXT, trained_run=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"made of models.*--drafter_run=\S+/drafter --backbone_run=\S+/backbone"):
        run("SpecGR_Aux", folder, trained_run=tiger["run_dir"])


def test_a_setting_that_nothing_reads_is_still_an_error(text, folder):
    """What is repeated of the training is compared; `graph_beam` is no setting of this model."""
    with pytest.raises(UserError, match="graph_beam"):
        run("TextSASRec", folder, **TEXT, graph_beam=5, trained_run=text["run_dir"])


def test_settings_of_evaluation_are_those_of_the_settings_file():
    """What stands under the heading Evaluation in overall.yaml, and `decoding_precision`, which some models have."""
    text = Path(PACKAGE.parent, "properties", "overall.yaml").read_text(encoding="utf-8")
    section = text.partition("# Evaluation\n")[2]
    assert set(re.findall(r"^(\w+):", section, re.MULTILINE)) | {"decoding_precision"} == EVALUATION
