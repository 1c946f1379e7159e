"""A run from its name to its record, what it leaves on disk, and how it is loaded and resumed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from recbole.trainer import Trainer as RecBoleTrainer
from tiny_runs import TINY_T5

from recbole_specgr.commands.command_line import main
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.runs.checkpoint import load_checkpoint
from recbole_specgr.runs.checks import read_record
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer

ROOT = Path(__file__).resolve().parent.parent
SHORT = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2, "train_batch_size": 64, "epochs": 2}
SHORT |= {"topk": [5, 10], "valid_metric": "NDCG@10", "learning_rate": 0.01}


@pytest.fixture
def short(tiny_dataset):
    return {**tiny_dataset, **SHORT}


def files(folder) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


@pytest.mark.parametrize(
    ("model", "stages"), [("SASRec", ["train"]), ("FDSA", ["train"]), ("S3Rec", ["pretrain", "finetune"])]
)
def test_a_run_leaves_its_folder_and_loads_again(model, stages, short, tmp_path, capsys):
    result = run_recbole(model, "tiny", config_dict=short)
    run_dir = Path(result["run_dir"])
    checkpoints = {f"{stage}.pth" for stage in stages}
    expected = {
        "config.yaml",
        "log.txt",
        "result.json",
        "ranks.npz",
        "items.npz",
        "begun.json",
        "tensorboard",
        "curves.csv",
        "last.pth",
        *checkpoints,
    }
    assert files(run_dir) == expected
    assert run_dir.parent == tmp_path / "runs" / "tiny" / model
    assert files(tmp_path) - {"cache"} == {"dataset", "runs"}  # nothing in ./log, ./saved, ./log_tensorboard
    assert result["model_file"] == str(run_dir / f"{stages[-1]}.pth")
    assert result["best_valid_result"]["ndcg@10"] == result["best_valid_score"] and result["valid_score_bigger"]

    record = read_record(run_dir / "result.json")
    last = record["training"][stages[-1]]
    assert (last["stopped"], last["improving"]) == ("limit", True)
    assert record == json.loads(json.dumps(result["record"]))
    assert record["metrics"] == {"valid": result["best_valid_result"], "test": result["test_result"]}
    assert list(record["training"]) == stages
    assert all(part["epochs"] == len(part["history"]) == 2 for part in record["training"].values())
    assert record["seed"] == 2026 and record["parameters"]["total"] > 0 and record["peak_memory_mb"]["host"] > 0

    printed = capsys.readouterr().out
    assert f"Not trained out (stage {stages[-1]}: best at epoch" in " ".join(printed.split())
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line[:4] in ("over", "in-s", "unse")}
    assert rows["overall"][1:] == [
        f"{result['test_result'][key]:.4f}" for key in ("recall@5", "recall@10", "ndcg@5", "ndcg@10")
    ]
    assert rows["unseen"][0] == str(result["test_result"]["unseen_count"])
    assert "\033" not in (run_dir / "log.txt").read_text()

    config, model, dataset, train_data, valid_data, test_data = load_data_and_model(run_dir)
    trainer = make_trainer(config, model)
    assert isinstance(trainer, RecBoleTrainer)
    assert trainer.evaluate(test_data, load_best_model=False) == result["test_result"]
    assert trainer.evaluate(valid_data, model_file=result["model_file"]) == result["best_valid_result"]
    assert dataset.item_num == test_data._dataset.item_num and len(train_data._dataset) > 0


def test_ranks_give_the_metrics_back(short):
    result = run_recbole("SASRec", "tiny", config_dict=short)
    ranks = np.load(Path(result["run_dir"]) / "ranks.npz")
    hit = (ranks["rank"] > 0) & (ranks["rank"] <= 10)
    gain = np.where(hit, 1 / np.log2(np.maximum(ranks["rank"], 1) + 1), 0)
    test = result["test_result"]
    assert round(hit.mean(), 5) == test["recall@10"] and round(gain.mean(), 5) == test["ndcg@10"]
    assert round(hit[~ranks["unseen"]].mean(), 5) == test["in_sample_recall@10"]
    assert ranks["unseen"].sum() == test["unseen_count"]
    *_, test_data = load_data_and_model(result["run_dir"])
    data = test_data._dataset
    assert ranks["user"].tolist() == data.id2token("user_id", data.inter_feat["user_id"].numpy()).tolist()
    assert ranks["item"].tolist() == data.id2token("item_id", data.inter_feat["item_id"].numpy()).tolist()


def test_every_metric_on_a_run(short):
    metrics = ["Recall", "NDCG", "MRR", "Hit", "MAP", "Precision"]
    metrics += ["ItemCoverage", "AveragePopularity", "ShannonEntropy", "GiniIndex", "TailPercentage"]
    test = run_recbole("SASRec", "tiny", config_dict={**short, "metrics": metrics, "epochs": 1})["test_result"]
    keys = {
        f"{part}{metric.lower()}@{k}" for part in ("", "in_sample_", "unseen_") for metric in metrics for k in (5, 10)
    }
    assert keys | {"in_sample_count", "unseen_count"} == set(test)
    assert test["precision@5"] == pytest.approx(test["recall@5"] / 5, abs=1e-5)


def test_same_seed_same_result(short):
    one, two, other = (run_recbole("SASRec", "tiny", config_dict={**short, "seed": seed}) for seed in (1, 1, 2))
    assert one["test_result"] == two["test_result"] and one["best_valid_score"] == two["best_valid_score"]
    assert one["run_dir"] != two["run_dir"]
    losses = [run["record"]["training"]["train"]["history"][0]["loss"] for run in (one, two, other)]
    assert losses[0] == losses[1] != losses[2]


def test_a_tokenizer_from_the_cache_and_from_the_run_gives_the_same_result(tiny_dataset, tmp_path, monkeypatch):
    rqvae = {"method": "rqvae", "codebook_size": 8, "levels": 3, "rqvae": {"epochs": 2, "warmup_epochs": 1}}
    settings = {**tiny_dataset, **TINY_T5, "epochs": 1, "cache_path": str(tmp_path / "cold"), "tokenizer": rqvae}
    settings["tokenizer"]["min_utilisation"] = 0.0
    with monkeypatch.context() as patch:  # killed when the ids were made, before there was a checkpoint
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr("recbole_specgr.quick_start.build_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_recbole("TIGER", "tiny", config_dict={**settings, "run_dir": "killed"})
    assert (tmp_path / "killed/semantic_ids.npz").is_file() and not (tmp_path / "killed/last.pth").exists()
    shutil.rmtree(tmp_path / "cold")
    cold, warm = (run_recbole("TIGER", "tiny", config_dict=settings) for _ in range(2))
    resumed = run_recbole("TIGER", "tiny", config_dict={**settings, "resume": "killed"})
    losses = [run["record"]["training"]["train"]["history"][0]["loss"] for run in (cold, warm, resumed)]
    assert losses[0] == losses[1] == losses[2]
    assert cold["test_result"] == warm["test_result"] == resumed["test_result"]


def test_without_saving_there_is_no_checkpoint(short):
    result = run_recbole("SASRec", "tiny", config_dict=short, saved=False)
    assert result["model_file"] is None
    kept = {"config.yaml", "begun.json", "log.txt", "result.json", "ranks.npz", "items.npz"}
    assert files(result["run_dir"]) == kept | {"tensorboard", "curves.csv"}


def test_without_saving_the_best_epoch_is_tested(short):
    settings = {**short, "epochs": 6, "learning_rate": 0.05, "stopping_step": 10}
    saved = run_recbole("SASRec", "tiny", config_dict=settings)
    training = saved["record"]["training"]["train"]
    assert training["best_epoch"] < training["epochs"]  # so that the last epoch's would be others
    unsaved = run_recbole("SASRec", "tiny", config_dict=settings, saved=False)
    assert unsaved["test_result"] == saved["test_result"]
    assert unsaved["best_valid_result"] == saved["best_valid_result"]


class Interrupted:
    """Stops a run, as Ctrl-C does, before the given epoch of its last stage."""

    def __init__(self, monkeypatch, before_epoch):
        train_epoch = RecBoleTrainer._train_epoch

        def stopping(trainer, train_data, epoch_idx, *args, **kwargs):
            if epoch_idx == before_epoch and trainer.model.train_stage != "pretrain":
                raise KeyboardInterrupt
            return train_epoch(trainer, train_data, epoch_idx, *args, **kwargs)

        monkeypatch.setattr(RecBoleTrainer, "_train_epoch", stopping)


def test_ctrl_c_exits_130_and_the_run_can_go_on(short, monkeypatch, capsys, tmp_path):
    whole = run_recbole("S3Rec", "tiny", config_dict=short)
    arguments = [f"--{key}={json.dumps(value)}" for key, value in short.items() if value != ""]
    arguments.append("--strict=False")  # S3Rec reads no text_dim
    with monkeypatch.context() as patch:
        Interrupted(patch, before_epoch=1)
        assert main(["--model=S3Rec", "--dataset=tiny", *arguments]) == 130
    run_dir = next(path for path in (tmp_path / "runs/tiny/S3Rec").iterdir() if str(path) != whole["run_dir"])
    assert f"Go on after epoch 1 with --resume={run_dir}" in capsys.readouterr().out
    assert "result.json" not in files(run_dir) and load_checkpoint(run_dir / "last.pth")["model"] == "S3Rec"

    with pytest.raises(UserError, match="run of model S3Rec, not SASRec"):
        run_recbole("SASRec", config_dict={"resume": str(run_dir)})
    resumed = run_recbole("S3Rec", "tiny", config_dict={**short, "resume": "auto"})
    assert resumed["run_dir"] == str(run_dir)
    assert resumed["test_result"] == whole["test_result"]
    other = run_recbole("S3Rec", "tiny", config_dict={**short, "resume": "auto"})
    assert other["run_dir"] not in (whole["run_dir"], str(run_dir)), "nothing is unfinished: a new run"


def test_resume_needs_no_other_setting(short, monkeypatch):
    run_dir = Path(run_recbole("SASRec", "tiny", config_dict={**short, "run_dir": "here"})["run_dir"])
    before = read_record(run_dir / "result.json")
    (run_dir / "result.json").unlink()
    assert run_recbole(config_dict={"resume": "here"})["record"]["metrics"] == before["metrics"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"topk": [10, 500]}, "500 is above"),
        ({"topk": [10, 500], "valid_metric": "NDCG@500"}, "500 is above"),
        ({"resume": "nowhere"}, "nowhere"),
        ({"metrics": ["GAUC"]}, "GAUC"),
    ],
)
def test_bad_input_leaves_no_run_behind(given, message, short, tmp_path):
    with pytest.raises(UserError, match=message):
        run_recbole("SASRec", "tiny", config_dict={**short, **given})
    assert not list(tmp_path.glob("runs/tiny/*/*"))


def test_a_model_that_can_not_be_built_leaves_no_run_behind(short, tmp_path):
    with pytest.raises(ValueError, match=r"hidden size .* not a multiple"):
        run_recbole("SASRec", "tiny", config_dict={**short, "hidden_size": 9})
    assert not list(tmp_path.glob("runs/tiny/*/*"))


def test_loading_what_is_broken_names_it(short, tmp_path):
    run_dir = Path(run_recbole("SASRec", "tiny", config_dict=short)["run_dir"])
    checkpoint = run_dir / "train.pth"
    whole = checkpoint.read_bytes()
    with pytest.raises(FileNotFoundError, match="is no run"):
        load_data_and_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"other\.pth"):
        load_data_and_model(run_dir / "other.pth")
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="truncated"):
        load_data_and_model(checkpoint)
    checkpoint.write_bytes(whole)
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**settings, "hidden_size": 16}))
    with pytest.raises(UserError, match="does not fit this SASRec"):
        load_data_and_model(run_dir)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_report_what_one_reports(short, tmp_path):
    arguments = {**short, "epochs": 1, "shuffle": False, "hidden_dropout_prob": 0, "attn_dropout_prob": 0}
    words = [f"--{key}={json.dumps(value)}" for key, value in arguments.items() if value != ""]
    words.append("--strict=False")  # SASRec reads no text_dim
    script = [str(ROOT / "run_recbole.py"), "--model=SASRec", "--dataset=tiny", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *script]
    done = subprocess.run(torchrun, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    (both,) = (tmp_path / "runs/tiny/SASRec").glob("*/result.json")
    one = run_recbole("SASRec", "tiny", config_dict=arguments)
    assert read_record(both)["metrics"] == one["record"]["metrics"]
    assert read_record(both)["processes"] == 2
    ranks = np.load(both.parent / "ranks.npz"), np.load(Path(one["run_dir"]) / "ranks.npz")
    assert all((ranks[0][key] == ranks[1][key]).all() for key in ("rank", "unseen", "user", "item"))
