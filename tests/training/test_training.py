"""Batches, schedule, checkpoints, and the stages: what is kept, restored and resumed."""

import csv
import json
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data import data_preparation
from recbole.utils import early_stopping, init_seed
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from training_cases import SHORT, MeanOfHistory, equal, files

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model, save_checkpoint
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import LAST, Trainer, make_trainer
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.meter import EpochMeter, named_losses
from recbole_specgr.training.optimizer import build_adamw
from recbole_specgr.training.progress import StageProgress
from recbole_specgr.training.schedules import Constant, Cosine, Plateau, warmup_in_steps


class FailsOnce(MeanOfHistory):
    """Stops, as Ctrl-C does, in the given call of the loss."""

    fail_at = None

    def calculate_loss(self, interaction):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        return super().calculate_loss(interaction)


def stages(trainer, **changes):
    """Give a trainer other stages than its config was built with."""
    trainer.stages = trainer.config["stages"] = changes
    trainer.saved_model_file = str(trainer.run_dir / f"{list(changes)[-1]}.pth")
    return trainer


# ---- batches ---------------------------------------------------------------------------------------------------------


class Rows(list):
    """A data set whose batch of rows is the rows."""

    def __init__(self, n):
        super().__init__(range(n))

    def __getitem__(self, index, join=True):
        return index


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    batch=st.integers(1, 50),
    extra=st.integers(0, 60),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 3),
)
def test_batches_hold_the_epoch_then_others_and_no_row_twice(n, batch, extra, seed, epoch):
    loader = BatchLoader(Rows(n), batch, seed, extra)
    loader.set_epoch(epoch)
    batches = list(loader)
    first = min(batch, n)
    assert len(batches) == len(loader) == math.ceil(n / first)
    for rows in batches:
        assert len(rows) == min(batch + extra, n) == len(set(rows.tolist()))
    epoch_rows = torch.cat([rows[:first] for rows in batches])[:n]
    assert sorted(epoch_rows.tolist()) == list(range(n))
    again = BatchLoader(Rows(n), batch, seed, extra)
    again.set_epoch(epoch)
    assert all(torch.equal(one, two) for one, two in zip(batches, again))


def test_the_order_changes_with_seed_and_epoch_and_extra_rows_cover_the_data():
    def order(seed, epoch):
        loader = BatchLoader(Rows(50), 50, seed)
        loader.set_epoch(epoch)
        return next(iter(loader)).tolist()

    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
    extra = torch.cat([rows[10:] for rows in BatchLoader(Rows(50), 10, 1, extra_rows=15)])
    assert len(set(extra.tolist())) > 40  # 75 draws of a permutation of 50, without those already in the batch


def test_processes_share_each_batch():
    whole = list(BatchLoader(Rows(20), 8, 3, extra_rows=4))
    halves = [list(BatchLoader(Rows(20), 8, 3, extra_rows=4, rank=rank, world_size=2)) for rank in (0, 1)]
    for rows, first, second in zip(whole, *halves):
        assert sorted(rows.tolist()) == sorted(first.tolist() + second.tolist())


# ---- optimiser, losses, early stopping -------------------------------------------------------------------------------


def test_adamw_decays_matrices_only_and_leaves_frozen_ones_out():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(3, 2, bias=False))
    model[2].requires_grad_(False)
    groups = build_adamw(model, 0.1, 0.05).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.05), (3, 0.0)]


def test_the_schedule_warms_up_and_falls_to_zero_by_a_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, rates = LambdaLR(optimizer, Cosine(4, 10)), []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[4:] == pytest.approx([1 + math.cos(math.pi * step / 6) for step in range(7)])


def test_warm_up_may_be_a_share_of_the_steps():
    assert [warmup_in_steps(warmup, 400) for warmup in (0, 0.05, 1, 30, 30.0)] == [0, 20, 1, 30, 30]


def test_a_constant_schedule_decays_over_a_last_tenth():
    """Patience is out after 30 epochs of 10 steps: 3 more epochs, straight down to zero."""
    schedule, progress = Constant(5, 10_000), StageProgress("train", epoch=29, limit=1000)
    schedule.plan_end(progress, 290, 10)
    assert progress.last_epoch is None and not progress.over
    progress.epoch, progress.stopped = 30, True
    schedule.plan_end(progress, 300, 10)
    assert progress.last_epoch == 33 and not progress.over
    assert [schedule(step) for step in (4, 5, 299, 300, 315, 330)] == [5 / 6, 1, 1, 1, 0.5, 0]
    progress.judge(1.0, {}, 0, bigger=True)
    assert progress.stopped_by == "patience", "what the decay finds does not change why the stage ended"
    progress.epoch = 33
    assert progress.over


@pytest.mark.parametrize(("limit", "begins"), [(1, 0), (5, 4), (11, 10), (110, 100)])
def test_a_constant_schedule_decays_before_the_limit(limit, begins):
    schedule, progress = Constant(0, 10 * limit), StageProgress("train", limit=limit)
    while progress.last_epoch is None:
        schedule.plan_end(progress, 10 * progress.epoch, 10)
        progress.epoch += 1
    assert (progress.epoch - 1, progress.last_epoch) == (begins, limit)
    assert (schedule(10 * begins), schedule(10 * limit)) == (1, 0)


def test_a_plateau_halves_the_learning_rate():
    schedule, progress, factors = Plateau(0, 1000), StageProgress("train"), []
    for stalls in (0, 1, 2, 3, 0, 1, 2, 3, 4):
        progress.stalls = stalls
        schedule.after_validation(progress, patience=6)
        factors.append(schedule(100))
    assert factors == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


@pytest.mark.parametrize(
    ("what", "stopped_by", "improving"),
    [
        ({"epoch": 0}, None, None),
        ({"epoch": 10}, "limit", None),  # never validated
        ({"epoch": 10, "best_epoch": 3}, "limit", True),
        ({"epoch": 9, "best_epoch": 5, "stopped": True}, "patience", False),
        ({"epoch": 10, "best_epoch": 9, "stopped": True}, "patience", False),
        ({"epoch": 10, "best_epoch": 10, "stopped": True}, "patience", True),
    ],
)
def test_a_stage_says_why_it_ended(what, stopped_by, improving):
    progress = StageProgress("train", limit=10, **what)
    assert (progress.stopped_by, progress.improving) == (stopped_by, improving)


def test_a_learning_rate_that_never_gets_off_the_ground_is_a_warning(prepare, caplog):
    trainer, train, valid, _ = prepare(MeanOfHistory, epochs=1, warmup_steps=10_000)
    trainer.fit(train, valid)
    assert f"[warmup_steps: 10000] is most of the {len(train)} steps" in caplog.text
    assert f"never reached, {0.01 * len(train) / 10_001:.2g} is the most" in caplog.text
    caplog.clear()
    trainer, train, valid, _ = prepare(MeanOfHistory, "other", epochs=1, warmup_steps=0.1)
    trainer.fit(train, valid)
    assert "warmup_steps" not in caplog.text


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_schedule_goes_on_where_it_was_interrupted(prepare, schedule):
    more = {"schedule": schedule, "epochs": 4, "stopping_step": 2, "warmup_steps": 3, "eval_step": 1}
    whole, train, valid, _ = prepare(MeanOfHistory, "whole", **more)
    whole.fit(train, valid)
    steps = len(train)
    broken, train, valid, _ = prepare(FailsOnce, "broken", checkpoint_steps=1, **more)
    broken.model.fail_at = 3 * steps + 2  # in the last epoch, where a constant learning rate decays
    with pytest.raises(KeyboardInterrupt):
        broken.fit(train, valid)
    again, train, valid, _ = prepare(FailsOnce, "broken", **more)
    again.resume_checkpoint(again.run_dir / LAST)
    again.fit(train, valid)
    assert equal(again.model, whole.model)
    rates = [[entry["learning_rate"] for entry in t.progress["train"].history] for t in (whole, again)]
    assert rates[0] == rates[1]
    if schedule == "constant":
        assert rates[0][:3] == [0.01] * 3 and rates[0][3] == 0


def test_the_meter_averages_the_parts_of_a_loss():
    meter = EpochMeter("", 2, show=False)
    meter.add(named_losses({"a": torch.tensor(1.0), "b": torch.tensor(3.0)}), 10, 0.1)
    meter.add(named_losses({"a": torch.tensor(2.0), "b": torch.tensor(5.0)}), 6, 0.1)
    meter.close()
    assert meter.means() == {"loss": 5.5, "a": 1.5, "b": 4.0} and meter.rows == 16
    assert set(named_losses((torch.zeros(()), torch.ones(())))) == {"part1", "part2"}
    meter.add({"a": torch.tensor(math.nan)}, 1, 0.1)
    with pytest.raises(FloatingPointError, match="a became nan"):
        meter.means()


@settings(max_examples=50, deadline=None)
@given(scores=st.lists(st.integers(0, 5), min_size=1, max_size=12), patience=st.integers(0, 3), bigger=st.booleans())
def test_early_stopping_is_recboles(scores, patience, bigger):
    progress = StageProgress("train")
    best, stalls = (-math.inf if bigger else math.inf), 0
    for score in scores:
        progress.epoch += 1
        best, stalls, stop, improved = early_stopping(score, best, stalls, patience, bigger)
        assert progress.judge(score, {"x": score}, patience, bigger) == improved
        assert (progress.best_score, progress.stopped, progress.stalls) == (best, stop, stalls)
        if stop:
            break
    assert scores[progress.best_epoch - 1] == progress.best_score == progress.best_result["x"]


# ---- checkpoints -----------------------------------------------------------------------------------------------------


class Tiny(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(2, width)

    def other_parameter(self):
        return {"counts": torch.arange(3), "layer": self.layer}

    def load_other_parameter(self, values):
        self.loaded = values


class Other(Tiny):
    pass


def test_a_checkpoint_comes_back(tmp_path):
    model, fresh = Tiny(), Tiny()
    save_checkpoint(tmp_path / "a.pth", model, epoch=3, history=[{"loss": 0.5}])
    checkpoint = load_checkpoint(tmp_path / "a.pth")
    restore_model(fresh, checkpoint, tmp_path / "a.pth")
    assert equal(model, fresh) and list(fresh.loaded) == ["counts"]
    assert checkpoint["epoch"] == 3 and checkpoint["history"] == [{"loss": 0.5}]
    assert files(tmp_path) == {"a.pth"}


@pytest.mark.parametrize("share", [0, 0.3, 0.97])
def test_a_truncated_checkpoint_is_named(tmp_path, share):
    path = tmp_path / "a.pth"
    save_checkpoint(path, Tiny())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=r"a\.pth can't be read as a checkpoint"):
        load_checkpoint(path)


def test_checkpoints_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(FileNotFoundError, match=r"a\.pth"):
        load_checkpoint(path)
    save_checkpoint(path, Tiny())
    with pytest.raises(UserError, match="checkpoint of Tiny, not of Other"):
        restore_model(Other(), load_checkpoint(path), path)
    with pytest.raises(UserError, match="checkpoint of Tiny, not of Third"):
        restore_model(Other(), load_checkpoint(path), path, trained_as="Third")
    restore_model(Other(), load_checkpoint(path), path, trained_as="Tiny")
    with pytest.raises(UserError, match=r"layer\.bias is \[3\], the model's is \[4\]"):
        restore_model(Tiny(4), load_checkpoint(path), path)
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(UserError, match="not a checkpoint of this package"):
        load_checkpoint(path)


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "a.pth"
    save_checkpoint(path, Tiny(), epoch=1)
    with pytest.raises((TypeError, AttributeError, RuntimeError, ValueError)):
        save_checkpoint(path, Tiny(), epoch=(number for number in range(3)))
    assert load_checkpoint(path)["epoch"] == 1 and files(tmp_path) == {"a.pth"}


# ---- stages ----------------------------------------------------------------------------------------------------------


def test_stages_run_in_order_with_their_own_settings(prepare, tmp_path):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    stages(trainer, warm={"epochs": 2, "learning_rate": 0.5}, main={"train_batch_size": 32})
    score, result = trainer.fit(train, valid)
    assert isinstance(trainer, Trainer) and trainer.model.started == ["warm", "main"]
    assert [(p.stage, p.epoch, p.done) for p in trainer.progress.values()] == [("warm", 2, True), ("main", 3, True)]
    assert trainer.progress["warm"].history[0]["learning_rate"] == pytest.approx(0.25)  # half the cosine of 2 epochs
    assert trainer.model.batch_sizes == {64, 32}
    assert (trainer.config["epochs"], trainer.config["learning_rate"]) == (3, 0.01)
    assert score == result["ndcg@10"] == max(entry["ndcg@10"] for entry in trainer.progress["main"].history)
    entry = trainer.progress["main"].history[0]
    assert entry["loss"] == pytest.approx(entry["loss_softmax"] + entry["loss_size"])
    assert {"warm.pth", "main.pth", LAST} <= files(tmp_path / "run")
    assert not any(name.startswith(("log", "saved")) for name in files(tmp_path))


def test_a_stages_settings_that_nothing_reads_are_told_of(prepare, caplog):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    stages(trainer, main={"epochs": 1, "warmup_steps": 3, "text_dim": 9}).fit(train, valid)
    told = [message for message in caplog.messages if "had no effect" in message]
    assert len(told) == 1 and told[0].startswith("[stages.main.text_dim] had no effect")
    assert trainer.config.was_read("seed"), "what was read before is not forgotten"


def test_specgrpp_learns_by_the_settings_of_the_stage(tiny_dataset, tmp_path):
    """Which rows generate, and what the losses weigh: the same where all stages say so as where the whole run does."""
    own = {"train_batch_size": 30, "temperature": 0.2, "contrastive_weight": 2.0, "ranking_weight": 3.0}
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "MAX_ITEM_LIST_LENGTH": 5}
    ids = {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 2}}
    usual = {**sizes, **ids, "contrastive_batch_size": 70, "num_beams": 10, "tune": None, "preset": "paper"}
    losses = []
    for name, given_settings in (
        ("whole", {**own, "stages": {"pretrain": {"epochs": 1}, "finetune": {"epochs": 1}}}),
        ("stages", {"stages": {"pretrain": {**own, "epochs": 1}, "finetune": {**own, "epochs": 1}}}),
    ):
        values = {**tiny_dataset, **SHORT, **usual, **given_settings, "run_dir": str(tmp_path / name)}
        config = Config("SpecGRPP", "tiny", config_dict=values)
        init_seed(config["seed"], config["reproducibility"])
        train, valid, _ = data_preparation(config, InductiveDataset(config))
        trainer = make_trainer(config, model_of(config, train._dataset))
        trainer.fit(train, valid)
        history = [progress.history[0] for progress in trainer.progress.values()]
        losses.append([{key: value for key, value in entry.items() if "second" not in key} for entry in history])
    assert losses[0] == losses[1]


def test_the_best_epoch_is_in_the_model_and_the_file_at_the_end(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, epochs=6, learning_rate=0.3)
    kept = {}
    trainer.fit(train, valid, callback_fn=lambda epoch, score: kept.update({epoch + 1: (score, snapshot(trainer))}))
    best = trainer.progress["train"].best_epoch
    assert kept[best][0] == max(score for score, _ in kept.values())
    assert all(torch.equal(value, kept[best][1][name]) for name, value in trainer.model.state_dict().items())
    saved = load_checkpoint(trainer.saved_model_file)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in kept[best][1].items())


def snapshot(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def test_a_stage_stops_early_and_validates_every_so_many_epochs_and_at_its_end(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, epochs=5, eval_step=2)
    trainer.fit(train, valid)
    assert ["ndcg@10" in entry for entry in trainer.progress["train"].history] == [False, True, False, True, True]
    trainer, train, valid, _ = prepare(MeanOfHistory, "stop", epochs=30, stopping_step=1)
    trainer.valid_metric_bigger = True
    trainer._valid_epoch = lambda *_: (scores.pop(0), {"ndcg@10": 0.0})
    scores = [0.5, 0.4, 0.3, 0.9]
    trainer.fit(train, valid)
    assert trainer.progress["train"].epoch == 3 and trainer.progress["train"].best_epoch == 1


def test_a_stage_may_be_judged_by_a_metric_of_its_own(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, metrics=["NDCG", "AveragePopularity"])
    stages(trainer, rare={"epochs": 4, "valid_metric": "AveragePopularity@10"}, main={"epochs": 1})
    trainer._valid_epoch = lambda *_: (scores.pop(0), {"ndcg@10": 0.0})
    scores = [0.5, 0.3, 0.4, 0.9, 0.1]
    trainer.fit(train, valid)
    assert trainer.progress["rare"].best_epoch == 2, "smaller is better"
    assert trainer.valid_metric == "ndcg@10" and trainer.valid_metric_bigger
    with pytest.raises(UserError, match=r"\[stages.train.valid_metric: Recall@7\] is not among the results"):
        prepare(MeanOfHistory, stages={"train": {"valid_metric": "Recall@7"}})


def test_a_stage_without_epochs_or_validation_keeps_its_last_parameters(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    before = snapshot(trainer)
    stages(trainer, none={"epochs": 0}, blind={"eval_step": 0})
    score, result = trainer.fit(train, valid)
    assert score is None and result is None
    assert trainer.progress["none"].best_result["ndcg@10"] >= 0
    saved = load_checkpoint(trainer.run_dir / "none.pth")["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in before.items())
    saved = load_checkpoint(trainer.run_dir / "blind.pth")["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("model", [MeanOfHistory, "SASRec"])
def test_same_seed_same_parameters(prepare, model):
    trained = []
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        trainer, train, valid, _ = prepare(model, run, seed=seed)
        trainer.fit(train, valid)
        torch.rand(5)  # what happened before a run does not matter
        trained.append(trainer.model)
    assert equal(trained[0], trained[1]) and not equal(trained[0], trained[2])


@pytest.mark.parametrize(
    ("fail_at", "every", "precision"),
    [(1, None, "fp32"), (12, None, "fp32"), (20, 3, "fp32"), (36, 1, "fp32"), (38, 5, "fp16"), (4, 2, "bf16")],
)
def test_a_run_that_was_interrupted_goes_on_as_if_it_was_not(prepare, fail_at, every, precision, caplog):
    """8 batches an epoch, 3 epochs a stage: in the first epoch, in the second, at a boundary, in the second stage."""
    settings = {"one": {}, "two": {"learning_rate": 0.1, "weight_decay": 0.1}}
    whole, train, valid, _ = prepare(MeanOfHistory, "whole", precision=precision)
    expected = stages(whole, **settings).fit(train, valid)

    more = {"checkpoint_steps": every, "precision": precision}
    broken, train, valid, _ = prepare(FailsOnce, "broken", **more)
    broken.model.fail_at = fail_at
    with pytest.raises(KeyboardInterrupt):
        stages(broken, **settings).fit(train, valid)
    assert f"--resume={broken.run_dir}" in caplog.text

    for fail_at_once in (True, False):  # a second time before anything is saved
        again, train, valid, _ = prepare(FailsOnce, "broken", **more)
        stages(again, **settings).resume_checkpoint(again.run_dir / LAST)
        if fail_at_once:
            again.model.fail_at = 1
            with pytest.raises(KeyboardInterrupt):
                again.fit(train, valid)
    assert again.fit(train, valid) == expected
    assert equal(whole.model, again.model)
    done = (fail_at - 1) % 8 // every * every if every else 0
    assert again.model.calls == 48 - (fail_at - 1) // 8 * 8 - done, "no step is done again that was saved"

    def timeless(trainer):
        return [
            {key: value for key, value in entry.items() if "second" not in key}
            for progress in trainer.progress.values()
            for entry in progress.history
        ]

    assert timeless(again) == timeless(whole)


def test_s3rec_runs_both_stages_and_resumes_in_the_second(prepare):
    whole, train, valid, _ = prepare("S3Rec", "whole", epochs=2)
    expected = whole.fit(train, valid)
    assert list(whole.progress) == ["pretrain", "finetune"]
    assert isinstance(whole.model.loss_fct, nn.CrossEntropyLoss)
    assert all("ndcg@10" not in entry for entry in whole.progress["pretrain"].history)

    broken, train, valid, _ = prepare("S3Rec", "broken", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(train, valid, callback_fn=interrupt)
    again, train, valid, _ = prepare("S3Rec", "broken", epochs=2)
    again.resume_checkpoint(again.run_dir / LAST)
    assert again.fit(train, valid) == expected
    assert equal(whole.model, again.model)


def interrupt(epoch, score):
    raise KeyboardInterrupt


def test_resuming_what_is_not_this_runs_state_is_refused(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    trainer.fit(train, valid)
    with pytest.raises(UserError, match="holds no training state"):
        trainer.resume_checkpoint(trainer.saved_model_file)
    with pytest.raises(UserError, match="holds no training state"):
        stages(trainer, other={}).resume_checkpoint(trainer.run_dir / LAST)


def test_without_saving_nothing_but_curves_is_written(prepare, tmp_path):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    trainer.fit(train, valid, saved=False)
    assert {name.partition("/")[0] for name in files(tmp_path / "run")} == {"tensorboard", "curves.csv"}


def test_a_loss_that_is_nan_is_named(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory)
    trainer.model.items.weight.data[:] = torch.nan
    with pytest.raises(UserError, match=r"stage train, epoch 1, .*softmax.* became nan.*--learning_rate \(0.01\)"):
        trainer.fit(train, valid)


def test_a_valid_metric_of_an_empty_subset_is_named(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, valid_metric="unseen_recall@5")
    valid._dataset.seen[:] = True
    with pytest.raises(UserError, match="unseen_count is 0"):
        trainer.fit(train, valid)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains(prepare, precision):
    trainer, train, valid, _ = prepare(MeanOfHistory, precision=precision)
    exact, *_ = prepare(MeanOfHistory, "exact")
    trainer.fit(train, valid)
    exact.fit(train, valid)
    ours, theirs = (t.progress["train"].history[0]["loss"] for t in (trainer, exact))
    assert ours != theirs and ours == pytest.approx(theirs, rel=0.02)


def test_clipping_bounds_the_step(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, clip_grad_norm=1e-3)
    seen = []
    step = torch.optim.AdamW.step

    def watched(self, *args, **kwargs):
        norms = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        seen.append(float(torch.stack(norms).norm()))
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        trainer.fit(train, valid)
    assert seen and max(seen) <= 1.01e-3


class InDouble(MeanOfHistory):
    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.double()
        self.dropout.p = 0.0

    def calculate_loss(self, interaction):
        self.batch_sizes.add(len(interaction))
        return nn.functional.cross_entropy(self.scores(interaction), interaction[self.ITEM_ID])


def test_a_batch_in_parts_is_the_same_step(prepare):
    whole, train, valid, _ = prepare(InDouble, "whole", clip_grad_norm=0.05, train_batch_size=61)
    parts, *_ = prepare(InDouble, "parts", clip_grad_norm=0.05, train_batch_size=61, accumulation_steps=3)
    whole.fit(train, valid)
    parts.fit(train, valid)
    assert parts.model.batch_sizes == {21, 20}
    ours, theirs = (trainer.progress["train"].history for trainer in (parts, whole))
    assert [entry["loss"] for entry in ours] == pytest.approx([entry["loss"] for entry in theirs], rel=1e-12)
    assert torch.allclose(parts.model.items.weight, whole.model.items.weight, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("model", "changed", "message"),
    [
        (MeanOfHistory, {"accumulation_steps": 2, "compares_rows": True}, "can't be taken in parts"),
        (MeanOfHistory, {"accumulation_steps": 65}, "too small"),
        (MeanOfHistory, {"parallel": "fsdp", "precision": "fp16"}, "--precision=bf16"),
        ("SASRec", {"precision": "fp16"}, "Take fp32 or bf16"),
        ("SASRec", {"accumulation_steps": 2}, "RecBole's own loop"),
        (MeanOfHistory, {"precision": "fp8"}, "fp32, bf16, fp16, auto, but is .fp8"),
        (MeanOfHistory, {"checkpoint_steps": -1}, "checkpoint_steps"),
        (MeanOfHistory, {"checkpoint_minutes": "soon"}, "checkpoint_minutes"),
    ],
)
def test_what_can_not_be_is_refused(prepare, model, changed, message):
    compares = {key: changed.pop(key) for key in list(changed) if key == "compares_rows"}
    with pytest.raises(UserError, match=message):
        trainer, train, valid, _ = prepare(model, **changed)
        trainer.model.__dict__.update(compares)
        trainer.fit(train, valid)


def test_activations_are_computed_again_and_nothing_else_changes(prepare):
    plain, train, valid, _ = prepare("SASRec", "plain", hidden_dropout_prob=0.3, epochs=1)
    saving, *_ = prepare("SASRec", "saving", hidden_dropout_prob=0.3, epochs=1, activation_checkpointing=True)
    calls = {}
    for name, trainer in (("plain", plain), ("saving", saving)):
        attention = trainer.model.trm_encoder.layer[0].multi_head_attention

        def count(module, *_, name=name):
            calls[name] = calls.get(name, 0) + module.training

        attention.register_forward_hook(count)
        trainer.fit(train, valid)
    assert equal(plain.model, saving.model)
    assert calls["saving"] == 2 * calls["plain"] == 2 * len(train)


def test_out_of_memory_says_how_much_there_is_and_what_helps(prepare):
    trainer, train, valid, test = prepare(MeanOfHistory)

    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of")

    trainer.model.calculate_loss = run_out
    with pytest.raises(UserError, match=r"2\.50 GiB more needed: .*GB.*train_batch_size 64 over 1 process") as error:
        trainer.fit(train, valid)
    for tip in ("--accumulation_steps=2", "--activation_checkpointing", "--precision=bf16"):
        assert tip in str(error.value)
    trainer.model.full_sort_topk = run_out
    with pytest.raises(UserError, match="--eval_batch_size=128"):
        trainer.evaluate(test, load_best_model=False)


def test_curves_and_a_trace_are_written(prepare):
    trainer, train, valid, _ = prepare(MeanOfHistory, profile=True, epochs=2)
    stages(trainer, one={}, two={"eval_step": 0}).fit(train, valid)
    with (trainer.run_dir / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"]) for row in rows] == [("one", "1"), ("one", "2"), ("two", "1"), ("two", "2")]
    for row, entry in zip(rows, [*trainer.progress["one"].history, *trainer.progress["two"].history]):
        assert {key: float(value) for key, value in row.items() if value and key != "stage"} == entry
    for stage in ("one", "two"):
        trace = json.loads((trainer.run_dir / f"profile/{stage}.json").read_text())
        names = {event["name"] for event in trace["traceEvents"]}
        assert {"ProfilerStep#3", "ProfilerStep#5"} <= names and "ProfilerStep#6" not in names


def test_the_bar_shows_speed_memory_and_time_to_go():
    meter = EpochMeter("", 4, show=False, processes=2, steps_after=4)
    for _ in range(2):
        meter.add({"loss": torch.tensor(1.5)}, 10, 0.1, torch.tensor(30))
    meter.seconds = 2.0
    assert (meter.rate(), meter.token_rate()) == (10, 60)
    line = meter._line(torch.device("cpu"), 0.1)
    assert re.search(r"loss 1\.5  lr 1\.0e-01  10 samples/s  60 tokens/s  \d+\.\d GB  00:00 to go", line)
    many = EpochMeter("", 4, show=False, steps_after=40000)
    many.add({"loss_generation": torch.tensor(2.9), "loss_contrastive": torch.tensor(0.3)}, 10, 0.1, torch.tensor(30))
    for room in (38, 60, 90):
        line = many._line(torch.device("cpu"), 0.1, room)
        assert len(line) <= room and re.search(r"^loss 3\.2.*\d+\.\d GB  [\d:]+ to go$", line)
    again = EpochMeter("", 4, show=False, state=meter.state())
    again.add({"loss": torch.tensor(3.0)}, 10, 0.1)
    assert (again.rows, again.steps, again.means()) == (30, 3, {"loss": 2.0})


def test_scores_are_ranked_among_seen_items_unless_the_model_is_inductive(prepare):
    trainer, *_, test = prepare("SASRec", topk=[5, 10])
    result = trainer.evaluate(test, load_best_model=False)
    assert result["unseen_count"] > 0 and result["unseen_recall@10"] == 0
    trainer.model.inductive = True
    assert trainer.evaluate(test, load_best_model=False)["unseen_recall@10"] > 0


def test_faulty_models_and_lengths_are_refused(prepare):
    trainer, _train, _valid, test = prepare(MeanOfHistory)
    trainer.model.full_sort_topk = lambda interaction, k, candidates: torch.ones(len(interaction), k, dtype=torch.long)
    with pytest.raises(ValueError, match="twice"):
        trainer.evaluate(test, load_best_model=False)
    trainer, *_, test = prepare("SASRec", topk=[10, 500])
    with pytest.raises(UserError, match="500 is above"):
        trainer.evaluate(test, load_best_model=False)
    trainer, *_, test = prepare("SASRec")
    trainer.model.item_embedding.weight.data[3] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        trainer.evaluate(test, load_best_model=False)


def test_latency_is_measured_on_every_batch(prepare):
    trainer, *_, test = prepare(MeanOfHistory, eval_batch_size=16)
    trainer.evaluate(test, load_best_model=False)
    summary = trainer.latency.summary()
    assert sum(trainer.latency.users) == len(test._dataset) and summary["batch_size"] == 16
    assert 0 < summary["batch_ms_p50"] <= summary["batch_ms_p95"] and summary["users_per_second"] > 0


def test_recboles_anomaly_detection_is_off_in_training(prepare):
    (trainer, train, valid, _), modes = prepare("SASRec", epochs=1), []
    torch.autograd.set_detect_anomaly(True)
    trainer.fit(train, valid, callback_fn=lambda *_: modes.append(torch.is_anomaly_enabled()), saved=False)
    assert modes == [False]
