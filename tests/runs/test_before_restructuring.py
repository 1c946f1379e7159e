"""Runs, records, checkpoints and exports that the code from before the package's restructuring has left still load and
give what they gave. `make.py` of the fixture's folder says what it holds and which commit made it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.leaderboard.archive import read_run, run_folders
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.folder import read_config
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.export import export_run, import_run
from recbole_specgr.training import make_trainer

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "before_restructuring"
EXPECTED = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
MODELS = list(EXPECTED["runs"])
RUNS = Path("runs/tiny")
# Models without training, and what is made of them, left the history out of their lists whatever the protocol said.
LEFT_OUT_THE_HISTORY = ("MostPop", "SemanticKNN", "ScoreEnsemble")


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    """A copy of the fixture. Nobody changes what is in it."""
    return Path(shutil.copytree(FIXTURE, tmp_path_factory.mktemp("before") / "copy"))


@pytest.fixture(autouse=True)
def working_directory(copied, monkeypatch) -> None:
    """The runs name their data set relative to it."""
    monkeypatch.chdir(copied)


def finished(model: str) -> Path:
    return RUNS / model / "finished"


def contents(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*")}


def assert_recommends(run: Path, expected: dict[str, Any], exclude: str | None = None) -> None:
    found = Recommender.load(run).recommend(EXPECTED["histories"], k=EXPECTED["k"], exclude=exclude)
    assert found.items == expected["lists"]
    np.testing.assert_allclose(found.scores, np.array(expected["scores"], dtype=float), rtol=0, atol=1e-4)
    assert found.rounds.tolist() == expected["rounds"]


@pytest.mark.parametrize("model", MODELS)
def test_a_run_from_before_the_setting_cleans_texts_as_it_did(model):
    assert "text_cleaning" not in (finished(model) / "config.yaml").read_text(encoding="utf-8")
    assert read_config(finished(model))["text_cleaning"] == "ascii"


@pytest.mark.parametrize("model", MODELS)
def test_a_run_loads_and_is_measured_as_before(model, monkeypatch):
    rule = {"repeatable": False} if model in LEFT_OUT_THE_HISTORY else {}
    # Those left out the history that they read, and not all that the user had had.
    monkeypatch.setattr(InductiveDataset, "earlier_items", lambda view, index: view.histories(index)[0])
    config, network, *_, test = load_data_and_model(finished(model), rule)
    assert config["model"] == model and type(network).__name__ == config["base_model"]
    result = make_trainer(config, network).evaluate(test, load_best_model=False)
    assert result == EXPECTED["runs"][model]["test"]
    assert read_record(finished(model) / "result.json")["metrics"]["test"] == result


@pytest.mark.parametrize("model", MODELS)
def test_a_run_recommends_as_before(model):
    exclude = "history" if model in LEFT_OUT_THE_HISTORY else None
    assert_recommends(finished(model), EXPECTED["runs"][model], exclude)


def test_the_records_are_those_of_a_leaderboard():
    results = list(map(read_run, run_folders(Path("runs"), "tiny")))
    assert sorted(result.record["model"] for result in results) == sorted(MODELS)
    for result in results:
        assert len(read_run(result.source.parent).ranks["rank"]) == len(result.ranks["rank"]) > 0
    assert len({result.record["protocol_hash"] for result in results}) == 1


def test_items_added_and_removed_before_are_there(tmp_path):
    expected = EXPECTED["items_added"]["SpecGRPP"]
    run = shutil.copytree(finished("SpecGRPP"), tmp_path / "run")
    shutil.copytree("changes/SpecGRPP", run, dirs_exist_ok=True)
    catalogue = Recommender.load(run).catalogue
    listed = set(catalogue.item_tokens[catalogue.candidates.numpy()])
    assert set(expected["added"]) <= listed and not set(expected["removed"]) & listed
    assert_recommends(run, expected)


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    expected = EXPECTED["interrupted"]["SpecGRPP"]
    run = shutil.copytree(RUNS / "SpecGRPP" / "interrupted", tmp_path / "run")
    assert not (run / "result.json").exists()
    result = run_recbole(config_dict={"resume": str(run)})
    assert result["run_dir"] == str(run) and result["test_result"] == expected["test"]
    record = read_record(run / "result.json")
    assert record["metrics"] == {key: expected[key] for key in ("valid", "test")}
    for stage, losses in expected["losses"].items():
        history = record["training"][stage]["history"]
        assert [epoch["loss"] for epoch in history] == pytest.approx(losses, rel=1e-4)
    assert_recommends(run, expected)


@pytest.mark.parametrize("model", EXPECTED["exports"])
def test_an_export_is_imported(model, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    import_run(Path("exports", model), tmp_path / "imported")
    assert_recommends(tmp_path / "imported", EXPECTED["exports"][model])


@pytest.mark.parametrize("model", EXPECTED["exports"])
def test_a_run_is_exported_as_before(model, tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    export_run(finished(model), tmp_path / "exported")
    assert contents(tmp_path / "exported") == contents(Path("exports", model))
    import_run(tmp_path / "exported", tmp_path / "imported")
    assert_recommends(tmp_path / "imported", EXPECTED["exports"][model])


def test_parts_are_taken_from_a_run_of_a_composite(tmp_path):
    run = finished("SpecGR_Aux")
    whole = load_data_and_model(run)[1]
    parts = {"drafter_run": str(run / "drafter"), "backbone_run": str(run / "backbone")}
    for name, part in whole.parts.items():
        alone = load_data_and_model(run / name)[1].state_dict()
        assert all(torch.equal(value, alone[key]) for key, value in part.state_dict().items())
    settings = read_record(run / "result.json")["settings"]
    kept = ("text_fields", "text_dim", "topk", "valid_metric", "MAX_ITEM_LIST_LENGTH", "num_beams", "draft_size")
    given = {key: settings[key] for key in (*kept, "accept_threshold")}
    given |= {
        "data_path": "dataset",
        "run_dir": str(tmp_path / "run"),
        "tune": None,
        "use_gpu": False,
        "show_progress": False,
    }
    result = run_recbole("SpecGR_Aux", "tiny", config_dict={**given, **parts})
    assert result["record"]["training"] == {}
    assert result["test_result"] == EXPECTED["runs"]["SpecGR_Aux"]["test"]
