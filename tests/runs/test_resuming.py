"""What a checkpoint and a run's folder say is true: damage is refused, and so are settings that were never used."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT

from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.begun import BEGUN
from recbole_specgr.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import write_config
from recbole_specgr.runs.record import write_result
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

SHORT = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "topk": [5, 10], "valid_metric": "NDCG@10", "epochs": 1}


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    model = torch.nn.Linear(3, 2)
    model.other_parameter = dict
    save_checkpoint(tmp_path / "a.pth", model, epoch=3)
    return tmp_path / "a.pth"


def test_every_flipped_bit_is_noticed(checkpoint):
    content = checkpoint.read_bytes()
    last = range(8 * len(content) - 8 * 100, 8 * len(content))  # the digest itself and what is around it
    for bit in {*random.Random(5).sample(range(8 * len(content)), 500), *last}:
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        checkpoint.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.pth can't be read as a checkpoint"):
            load_checkpoint(checkpoint)


def test_other_readers_and_checkpoints_without_a_digest_stay_possible(checkpoint):
    plain = torch.load(checkpoint, weights_only=True)
    assert plain["epoch"] == 3
    torch.save(plain, checkpoint)
    assert load_checkpoint(checkpoint)["epoch"] == 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    from conftest import write_tiny_dataset

    folder = tmp_path_factory.mktemp("resuming")
    write_tiny_dataset(folder / "dataset")
    places = {"data_path": str(folder / "dataset"), "run_dir": str(folder / "run"), "cache_path": str(folder / "cache")}
    run_recbole("S3Rec", "tiny", config_dict={**places, **SHORT, "use_gpu": False, "show_progress": False})
    return folder / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"epochs": 5, "learning_rate": 0.1},
            r"\[epochs\] was 1, now it is 5; \[learning_rate\] was 0.001, now it is 0.1",
        ),
        ({"seed": 7}, r"\[seed\] was 2026, now it is 7"),
        ({"topk": [5, 10, 20]}, r"\[topk\] was \[5, 10\], now it is \[5, 10, 20\]"),
        ({"stages.finetune.epochs": 3}, r"\[stages\] was"),
    ],
)
def test_a_run_is_not_gone_on_with_by_other_settings(finished, changed, named):
    before = contents(finished)
    with pytest.raises(UserError, match=f"(?s){named}.*begin a new run"):
        run_recbole(config_dict={"resume": str(finished), **changed})
    assert contents(finished) == before


@pytest.mark.parametrize("resume", [None, "auto"])
def test_a_new_run_is_not_begun_in_the_folder_of_another(finished, resume):
    before = contents(finished)
    data = {"data_path": str(finished.parent / "dataset"), "runs_path": str(finished.parent / "none")}
    with pytest.raises(UserError, match=f"holds a run already.*--resume={finished}"):
        run_recbole("MostPop", "tiny", config_dict={**data, "run_dir": str(finished), "resume": resume})
    assert contents(finished) == before


def test_a_named_folder_can_be_used_again_after_a_mistake(tiny_dataset, tmp_path):
    given = {**tiny_dataset, "topk": [5, 10], "valid_metric": "NDCG@10", "run_dir": str(tmp_path / "mine")}
    with pytest.raises(UserError, match="tune"):
        run_recbole("MostPop", "tiny", config_dict={**given, "tune": {"num_beams": [1]}})
    assert not (tmp_path / "mine").exists()
    assert run_recbole("MostPop", "tiny", config_dict=given)["run_dir"] == str(tmp_path / "mine")


def test_a_finished_run_is_said_to_be_finished(finished, caplog):
    said = f"{finished} was finished: nothing is trained any more, and it is evaluated again."
    run_recbole(config_dict={"resume": str(finished), "show_progress": False})
    assert caplog.messages.count(said) == 1
    caplog.clear()
    (finished / "result.json").unlink()  # as of one that was interrupted in its test
    run_recbole(config_dict={"resume": str(finished), "show_progress": False})
    assert said not in caplog.messages and (finished / "result.json").is_file()


def test_where_and_how_it_runs_may_change(finished):
    metrics = json.loads((finished / "result.json").read_text())["metrics"]
    allowed = {"checkpoint_steps": 2, "checkpoint_minutes": 3, "show_progress": False, "use_gpu": False}
    allowed |= {"cache_path": str(finished / "other-cache"), "eval_batch_size": 32}
    assert run_recbole(config_dict={"resume": str(finished), **allowed})["record"]["metrics"] == metrics


def begun(model: str, given: dict) -> Path:
    """The folder of a run of these settings that has been begun."""
    folder = Path(given["runs_path"], "tiny", model, "begun")
    write_config(folder, Config(model, "tiny", config_dict=given))
    return folder


def test_a_run_made_of_one_run_is_not_gone_on_with_for_another(tiny_dataset, tmp_path):
    given = {**tiny_dataset, "backbone_run": "tiger/seed1"}
    folder = begun("TIGER_C", given)
    again = {**given, "backbone_run": str(tmp_path / "tiger" / ".." / "tiger" / "seed1")}
    assert configure("TIGER_C", "tiny", None, {**again, "resume": "auto"})[1]
    for other in ("tiger/seed2", "other/seed1", None):
        assert not configure("TIGER_C", "tiny", None, {**given, "backbone_run": other, "resume": "auto"})[1]
    with pytest.raises(UserError, match=r"\[backbone_run\] was tiger/seed1, now it is other/seed1"):
        configure("TIGER_C", "tiny", None, {**given, "backbone_run": "other/seed1", "resume": str(folder)})
    assert configure(None, None, None, {"resume": str(folder)})[0]["backbone_run"] == "tiger/seed1"


def test_a_run_of_one_preset_is_not_gone_on_with_for_another(tiny_dataset):
    given = {**tiny_dataset, "preset": "paper"}
    begun("SASRec", given)
    assert configure("SASRec", "tiny", None, {**given, "resume": "auto"})[1]
    assert not configure("SASRec", "tiny", None, {**given, "preset": "auto", "resume": "auto"})[1]
    given = {**tiny_dataset, "preset": "auto"}
    begun("SASRec", {**given, "train_batch_size": 32})  # as it follows from the data
    assert configure("SASRec", "tiny", None, {**given, "resume": "auto"})[1]
    assert not configure("SASRec", "tiny", None, {**given, "preset": "paper", "resume": "auto"})[1]


def interrupted(settings: dict, words: list[str], monkeypatch) -> Path:
    """The folder of a run of MostPop that was begun with these words and has no result."""
    monkeypatch.setattr(sys, "argv", ["run_recbole.py", *words])
    run_dir = Path(run_recbole("MostPop", "tiny", config_dict=settings)["run_dir"])
    (run_dir / "result.json").unlink()
    (run_dir / "items.npz").unlink()
    return run_dir


def test_a_run_that_another_process_is_at_work_on_is_not_gone_on_with(tiny_dataset, tmp_path, monkeypatch):
    run_dir = interrupted({**tiny_dataset, "show_progress": False}, ["--model=MostPop"], monkeypatch)
    hold = "import sys; from recbole_specgr.system.files import locked; log = open(sys.argv[1], 'a'); "
    hold += "print(locked(log), flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, run_dir / "log.txt"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert other.stdout.readline() == "True\n"
        before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
        for resume, settings in ((str(run_dir), {}), ("auto", tiny_dataset)):
            with pytest.raises(UserError, match=f"Another process is at work on the run {run_dir}"):
                run_recbole("MostPop", "tiny", config_dict={**settings, "resume": resume})
        assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    finally:
        other.kill()  # which frees the run, as every end of a process does
        other.communicate()
    assert run_recbole("MostPop", "tiny", config_dict={"resume": str(run_dir)})["run_dir"] == str(run_dir)


def test_the_record_of_a_resumed_run_has_the_command_it_was_begun_with(tiny_dataset, monkeypatch):
    words = ["--model=MostPop", "--dataset=tiny", "--seed=7"]
    settings = {**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5", "seed": 7}
    run_dir = interrupted(settings, words, monkeypatch)
    for begun_before in (True, False):
        monkeypatch.setattr(sys, "argv", ["run_recbole.py", f"--resume={run_dir}"])
        command = run_recbole(config_dict={"resume": str(run_dir)})["record"]["command"]
        assert command == f"run_recbole.py {' '.join(words) if begun_before else f'--resume={run_dir}'}"
        (run_dir / BEGUN).unlink(missing_ok=True)  # as a run of an earlier version


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: lines[:-1], "it has other interactions"),
        (lambda lines: sorted(lines, reverse=True), "its users or items come in another order"),
    ],
)
def test_a_run_does_not_go_on_with_other_data(tiny_dataset, tmp_path, monkeypatch, change, reason):
    run_dir = interrupted({**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5"}, [], monkeypatch)
    file = tmp_path / "dataset" / "tiny" / "tiny.inter"
    head, *lines = file.read_text().splitlines()
    file.write_text("\n".join([head, *change(lines)]) + "\n")
    with pytest.raises(UserError, match=f"is not as it was when the run was begun; {reason}"):
        run_recbole(config_dict={"resume": str(run_dir)})
    file.write_text("\n".join([head, *lines]) + "\n")
    run_recbole(config_dict={"resume": str(run_dir)})


def test_the_last_stage_is_known_when_the_keys_of_config_yaml_are_sorted(finished):
    _, model, *_ = load_data_and_model(finished)
    file = finished / "config.yaml"
    before = file.read_text()
    settings = yaml.safe_load(before)
    settings["stages"] = dict(reversed(settings["stages"].items()))
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        config, again, *_ = load_data_and_model(finished)
    finally:
        file.write_text(before)
    assert list(config["stages"]) == ["pretrain", "finetune"]
    other = load_checkpoint(finished / "pretrain.pth")["state_dict"]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, other[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "last", "a b"])
def test_a_stage_can_not_be_a_path(tiny_dataset, name):
    settings = Config("SASRec", "tiny", config_dict=tiny_dataset).to_dict()
    with pytest.raises(UserError, match="a stage names a file of the run's folder"):
        Config.from_dict({**settings, "stages": {name: {}}})


def test_a_metric_that_is_no_number_is_null_in_the_record(tmp_path, caplog):
    record = {"metrics": {"test": {"x@5": float("nan"), "y@5": 0.5, "z": [1.0, float("inf")]}}}
    written = write_result(tmp_path, record, {})
    assert json.loads((tmp_path / "result.json").read_text()) == written
    assert written["metrics"]["test"] == {"x@5": None, "y@5": 0.5, "z": [1.0, None]}
    assert "metrics.test.x@5 (nan), metrics.test.z.1 (inf)" in caplog.text
