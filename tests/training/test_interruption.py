"""Real training processes, killed at random moments and gone on with; SIGTERM; disks that fill up."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset
from interrupted_work import work
from training_cases import MeanOfHistory, files

from recbole_specgr.quick_start import run_recbole
from recbole_specgr.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import EXIT_STATUS, Terminated, asked, heeding_sigterm, safe_points
from recbole_specgr.training import LAST

T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_beams": 10, "warmup_steps": 5}
T5 |= {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 2}, "tune": None}
TEXT = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2}
MODELS = {
    "SpecGRPP": ({**T5, "contrastive_batch_size": 96, "stages": {"finetune": {"epochs": 2}}}, ["pretrain", "finetune"]),
    "SpecGR_Aux": ({**T5, "drafter_settings": {**TEXT, "epochs": 2}}, ["drafter", "backbone"]),
    # RecBole's own loop, with negatives drawn by numpy
    "SASRec": ({**TEXT, "loss_type": "BPR"}, ["train"]),
}


@pytest.fixture(scope="module")
def processes():
    """Processes that have torch loaded when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["recbole_specgr.quick_start", "interrupted_work"])
    return context


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interruption")
    write_tiny_dataset(folder / "dataset")
    return folder


def settings_of(model: str, folder: Path) -> dict:
    return {
        "data_path": str(folder / "dataset"),
        "runs_path": str(folder / "runs"),
        "show_progress": False,
        "use_gpu": False,
        "text_dim": 8,
        "topk": [5, 10],
        "valid_metric": "NDCG@10",
        "eval_batch_size": 16,
        "epochs": 3,
        "train_batch_size": 48,
        "MAX_ITEM_LIST_LENGTH": 10,
        "checkpoint_steps": 3,
        "checkpoint_minutes": None,
        **MODELS[model][0],
    }


def position(run_dir: Path, model: str) -> tuple[int, int]:
    """The number of the stage a run is in, and how many epochs and steps of it are saved; -1 before the first."""
    if model == "SpecGR_Aux":
        found = [number for number, part in enumerate(MODELS[model][1]) if (run_dir / part / LAST).is_file()]
        file = run_dir / MODELS[model][1][found[-1]] / LAST if found else None
    else:
        file, found = run_dir / LAST, []
    if file is None or not file.is_file():
        return -1, 0
    stages = load_checkpoint(file)["stages"]
    saved = 1000 * stages[-1]["done"] + 100 * stages[-1]["epoch"] + stages[-1]["step"]
    return (found[-1] if found else len(stages) - 1), saved


def result(run_dir: Path) -> dict:
    """All of a run that has to be the same, bit for bit."""
    record = json.loads((run_dir / "result.json").read_text())
    histories = {
        stage: [{key: value for key, value in entry.items() if "second" not in key} for entry in part["history"]]
        for stage, part in record["training"].items()
    }
    states = {str(file.relative_to(run_dir)): load_checkpoint(file)["state_dict"] for file in run_dir.rglob("*.pth")}
    ranks = {name: values.tolist() for name, values in np.load(run_dir / "ranks.npz").items()}
    return {"metrics": record["metrics"], "histories": histories, "ranks": ranks, "states": states}


def assert_same(ours: dict, theirs: dict) -> None:
    states, expected = ours.pop("states"), theirs.pop("states")
    assert ours == theirs
    assert states.keys() == expected.keys()
    for file, state in states.items():
        assert all(torch.equal(value, expected[file][name]) for name, value in state.items()), file


def wait_until(process, reached: Callable[[], bool]) -> None:
    while process.is_alive() and not reached():
        time.sleep(0.003)


def started(processes, model: str, settings: dict, out: Path):
    process = processes.Process(target=work, args=(model, settings, str(out)))
    process.start()
    return process


@pytest.mark.parametrize("model", MODELS)
def test_killed_at_random_moments_it_ends_in_the_same_weights(model, folder, processes) -> None:
    settings, out = settings_of(model, folder), folder / f"{model}.log"
    whole, broken = folder / f"{model}-whole", folder / f"{model}-broken"
    first = started(processes, model, {**settings, "run_dir": str(whole), "cache_path": str(folder / "cache-1")}, out)

    moments = random.Random(time.time_ns())
    kills = [(-1, 0)]  # when there is a folder: while data, texts and ids are prepared
    for stage in range(len(MODELS[model][1])):
        kills += [(stage, reach) for reach in sorted(moments.sample([0, 3, 6, 9, 100, 103, 106, 109], 2))]
        kills += [(stage, 1000)]  # done: in what comes next, a stage or the evaluation
    begin = {**settings, "run_dir": str(broken), "cache_path": str(folder / f"cache-{model}")}
    exits = []
    for kill in kills:
        begun = (broken / "config.yaml").is_file()
        process = started(processes, model, {"resume": str(broken)} if begun else begin, out)
        wait_until(process, lambda kill=kill: broken.is_dir() and position(broken, model) >= kill)
        time.sleep(moments.uniform(0, 0.04))
        process.kill()
        process.join()
        exits.append(process.exitcode)
    print(kills, exits)
    assert exits.count(-signal.SIGKILL) >= len(exits) - 1, "the last one may come too late"
    last = started(processes, model, {"resume": str(broken)}, out)
    for process in (first, last):
        process.join()
        assert process.exitcode == 0, out.read_text()[-3000:]
    assert not list(broken.rglob(".*.pth")), "what is left of a checkpoint is removed"
    assert_same(result(broken), result(whole))


def test_sigterm_saves_exits_143_and_auto_goes_on(folder, processes) -> None:
    settings = {**settings_of("SpecGRPP", folder), "checkpoint_steps": None, "resume": "auto"}
    settings |= {"cache_path": str(folder / "cache-term"), "runs_path": str(folder / "term")}
    out, runs = folder / "term.log", folder / "term" / "tiny" / "SpecGRPP"
    for reach in ((0, 0), (0, 100)):
        process = started(processes, "SpecGRPP", settings, out)
        wait_until(process, lambda reach=reach: any(position(run, "SpecGRPP") >= reach for run in runs.glob("*")))
        time.sleep(0.02)
        process.terminate()
        process.join()
        assert process.exitcode == EXIT_STATUS == 143, out.read_text()[-3000:]
        (run_dir,) = runs.glob("*")
        said = (run_dir / "log.txt").read_text()
        assert "Stopped by SIGTERM in stage" in said and f"--resume={run_dir}" in said
    process = started(processes, "SpecGRPP", settings, out)
    other = {**settings, "run_dir": str(folder / "term-whole"), "resume": None}
    whole = started(processes, "SpecGRPP", other, out)
    for done in (process, whole):
        done.join()
        assert done.exitcode == 0, out.read_text()[-3000:]
    assert [path.name for path in runs.glob("*")] == [run_dir.name]
    assert_same(result(run_dir), result(folder / "term-whole"))


def test_auto_takes_the_unfinished_run_of_the_same_settings_only(folder, tmp_path) -> None:
    settings = {**settings_of("SASRec", folder), "runs_path": str(tmp_path), "cache_path": str(tmp_path / "cache")}
    settings |= {"epochs": 1}
    first = run_recbole("SASRec", "tiny", config_dict={**settings, "resume": "auto"})["run_dir"]
    (Path(first) / "result.json").unlink()
    for change in ({"seed": 5}, {"learning_rate": 0.5}):
        assert run_recbole("SASRec", "tiny", config_dict={**settings, **change, "resume": "auto"})["run_dir"] != first
    given = {**settings, "checkpoint_minutes": 7, "resume": "auto"}
    assert run_recbole("SASRec", "tiny", config_dict=given)["run_dir"] == first


class StopsItself(MeanOfHistory):
    """Gets SIGTERM while it ranks its third batch."""

    stops_at = 3
    ranked = 0

    def full_sort_topk(self, interaction, k, candidates):
        self.ranked += 1
        if self.ranked == self.stops_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().full_sort_topk(interaction, k, candidates)


def test_an_evaluation_goes_on_where_it_was(prepare, tmp_path) -> None:
    trainer, *_, test = prepare(StopsItself, eval_batch_size=8)
    trainer.model.stops_at = None
    expected = trainer.evaluate(test, load_best_model=False)
    # The first users are asked once more, to see whether their lists are steady.
    ranks, batches = trainer.rows["rec.rank"], trainer.model.ranked - 1
    trainer.evaluation_folder = tmp_path / "evaluation"
    trainer.model.ranked, trainer.model.stops_at = 0, 3
    with heeding_sigterm(), pytest.raises(Terminated):
        trainer.evaluate(test, load_best_model=False)
    assert files(tmp_path / "evaluation")
    trainer.model.ranked, trainer.model.stops_at = 0, None
    assert trainer.evaluate(test, load_best_model=False) == expected
    assert trainer.model.ranked == batches - 2 and torch.equal(trainer.rows["rec.rank"], ranks)
    assert len(trainer.latency.seconds) == batches
    assert not (tmp_path / "evaluation").exists()

    trainer.model.ranked, trainer.model.stops_at = 0, 3
    with heeding_sigterm(), pytest.raises(Terminated):
        trainer.evaluate(test, load_best_model=False)
    trainer.model.ranked, trainer.model.stops_at = 0, None
    trainer.model.out.weight.data += 0.1  # other parameters: what is kept is of no use
    trainer.evaluate(test, load_best_model=False)
    assert trainer.model.ranked == batches + 1


def test_sigterm_during_validation_loses_no_step(prepare) -> None:
    whole, train, valid, _ = prepare(StopsItself, "whole")
    whole.model.stops_at = None
    expected = whole.fit(train, valid)
    trainer, train, valid, _ = prepare(StopsItself, "stopped", eval_batch_size=16)
    with heeding_sigterm(), pytest.raises(Terminated):
        trainer.fit(train, valid)
    stage = load_checkpoint(trainer.run_dir / LAST)["stages"][0]
    assert (stage["epoch"], stage["step"]) == (0, 8) and stage["best_epoch"] is None
    again, train, valid, _ = prepare(StopsItself, "stopped")
    again.model.stops_at = None
    again.resume_checkpoint(again.run_dir / LAST)
    assert again.fit(train, valid) == expected


def test_sigterm_outside_of_safe_points_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), heeding_sigterm():
        with safe_points():
            signal.raise_signal(signal.SIGTERM)
            assert asked()
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before and not asked()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # tensorboard's own thread
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_keeps_the_last_good_checkpoint(prepare) -> None:
    trainer, train, valid, _ = prepare(MeanOfHistory)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(epoch, score):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    try:
        with pytest.raises(UserError, match=r"last\.pth could not be written .*GB are free.*--resume="):
            trainer.fit(train, valid, callback_fn=lambda epoch, score: fill_up(epoch, score) if epoch == 0 else None)
    except OSError:
        pytest.fail("not told what it is about")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [name for name in files(trainer.run_dir) if name.startswith(".")]
    again, train, valid, _ = prepare(MeanOfHistory)
    again.resume_checkpoint(again.run_dir / LAST)
    again.fit(train, valid)
    whole, train, valid, _ = prepare(MeanOfHistory, "whole")
    whole.fit(train, valid)
    assert torch.equal(again.model.items.weight, whole.model.items.weight)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_folder_that_is_gone_is_named(prepare) -> None:
    trainer, train, valid, _ = prepare(MeanOfHistory)
    with pytest.raises(UserError, match=r"the folder .*run is gone"):
        trainer.fit(train, valid, callback_fn=lambda *_: shutil.rmtree(trainer.run_dir))


def test_a_checkpoint_is_replaced_whole_or_not_at_all(tmp_path) -> None:
    model = torch.nn.Linear(2, 2)
    model.other_parameter = dict
    save_checkpoint(tmp_path / "a.pth", model, number=1)
    with pytest.raises(UserError, match="The one before it is whole"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        save_checkpoint(tmp_path / "a.pth", model, number=2)
    assert load_checkpoint(tmp_path / "a.pth")["number"] == 1 and files(tmp_path) == {"a.pth"}
