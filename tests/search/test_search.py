"""Hyper-parameter search: the parameter file, and searches that end, go on and fail."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml
from conftest import ROOT, write_tiny_dataset

from recbole_specgr.commands.command_line import main
from recbole_specgr.data.dataset import FILTERS
from recbole_specgr.runs.comparison import what_it_is
from recbole_specgr.search.report import tuned_settings
from recbole_specgr.search.space import Space, read_space
from recbole_specgr.search.trials import Search, finished
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.presets import DataSize
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import locked

MEASURED = ("metrics", "topk", "valid_rows", "seed", "repeatable", "split", "timestamp_split", "dataset", *FILTERS)
PARAMETERS = """\
learning_rate loguniform -8,-4   # a comment

hidden_dropout_prob uniform 0.0,0.5
train_batch_size quniform 64,200,64
hidden_size choice [8, 12, 16]
stages choice [{train: {}}]
"""
SETTINGS = [
    "--n_layers=1",
    "--inner_size=8",
    "--topk=[5,10]",
    "--valid_metric=NDCG@10",
    "--epochs=1",
    "--use_gpu=False",
]


@pytest.fixture
def parameters(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "hyper.test").write_text(text)
        return tmp_path / "hyper.test"

    return write


def test_a_parameter_file_is_read_as_recbole_reads_it(parameters):
    space = read_space(parameters(PARAMETERS))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [space.settings(study.ask(space.distributions).params) for _ in range(200)]
    rates = [values["learning_rate"] for values in drawn]
    assert min(rates) >= math.exp(-8) and max(rates) <= math.exp(-4)
    assert 0.3 < sum(math.log(rate) < -6 for rate in rates) / 200 < 0.7
    assert all(0 <= values["hidden_dropout_prob"] <= 0.5 for values in drawn)
    assert {values["train_batch_size"] for values in drawn} == {64.0, 128.0, 192.0}
    assert {values["hidden_size"] for values in drawn} == {8, 12, 16}
    assert drawn[0]["stages"] == {"train": {}}
    assert space.combinations() is None
    inside = {"learning_rate": 0.001, "hidden_dropout_prob": 0.5, "train_batch_size": 128, "hidden_size": 8}
    inside["stages"] = {"train": {}}
    assert space.settings(space.sampled(inside)) == inside
    assert space.sampled({**inside, "hidden_size": 8.0})["hidden_size"] == "8"
    for key, value in (("learning_rate", 1.0), ("train_batch_size", 100), ("hidden_size", 9), ("learning_rate", None)):
        assert space.sampled({**inside, key: value}) is None


def test_present_settings_on_a_step_or_among_the_choices_are_found(parameters):
    """0.3 is 0.1 + 2 * 0.1, and 0.0 is 0, though neither is so to the last bit or letter; True is not 1."""
    space = read_space(parameters("a quniform 0.1,0.5,0.1\nb choice [0, 0.1]\nc quniform 0,1,0.05\n"))
    for a, b, c in [(0.3, 0.0, 0.15), (0.1, 0, 0.6), (0.5, 0.1, 1.0)]:
        found = space.settings(space.sampled({"a": a, "b": b, "c": c}))
        assert found == {"a": a, "b": b, "c": c}
    for other in ({"a": 0.35}, {"b": False}, {"c": 0.16}):
        assert space.sampled({"a": 0.3, "b": 0, "c": 0.15, **other}) is None


def test_choices_alone_have_all_combinations(parameters):
    space = read_space(parameters("a choice [1, 2]\nb choice [x, null, true]\n"))
    found = [tuple(space.settings(one).values()) for one in space.combinations()]
    assert found == [(1, "x"), (1, None), (1, True), (2, "x"), (2, None), (2, True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["names no parameter"]),
        ("\nlearning_rate uniform\n", ["line 2", "name type range"]),
        ("learning_rate unifrom 0,1", ["line 1", "[unifrom]", "[uniform]"]),
        ("learning_rate uniform 1,0", ["line 1", "low,high"]),
        ("learning_rate uniform 0,1,2", ["line 1", "low,high"]),
        ("learning_rate quniform 0,1", ["line 1", "low,high,step"]),
        ("learning_rate quniform 0,1,0", ["line 1", "step"]),
        ("learning_rate loguniform a,b", ["line 1", "low,high"]),
        ("hidden_size choice 64", ["line 1", "list"]),
        ("hidden_size choice [", ["line 1", "YAML"]),
        ("a uniform 0,1\na uniform 0,1", ["line 2", "second time"]),
        ("valid_metric choice [NDCG@10,Recall@10]", ["line 1", "[valid_metric] says what is measured"]),
        ("MAX_ITEM_LIST_LENGTH choice [10,20]", ["line 1", "[MAX_ITEM_LIST_LENGTH]", "--MAX_ITEM_LIST_LENGTH=VALUE"]),
        ("launch_holdout.share uniform 0.1,0.5", ["line 1", "[launch_holdout]", "--launch_holdout.share=VALUE"]),
        ("stages.train.valid_rows choice [100]", ["line 1", "[valid_rows] says what is measured"]),
        *((f"{name} choice [1,2]", ["line 1", f"[{name}] says what is measured"]) for name in MEASURED),
    ],
)
def test_what_is_wrong_with_a_parameter_file_is_said(parameters, text, words):
    with pytest.raises(UserError) as caught:
        read_space(parameters(text))
    for word in words:
        assert word in str(caught.value)


def test_a_range_of_a_setting_that_is_whole_is_refused(parameters):
    tried = [values["eval_batch_size"] for values in read_space(parameters("eval_batch_size uniform 100,300")).each()]
    assert min(tried) == 100 and max(tried) == 300
    assert any(value != int(value) for value in tried)  # which the check of settings refuses before a trial begins
    stepped = read_space(parameters("eval_batch_size quniform 100,300,50")).each()
    assert all(values["eval_batch_size"] == int(values["eval_batch_size"]) for values in stepped)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A working directory with the tiny data set."""
    place = tmp_path_factory.mktemp("search")
    write_tiny_dataset(place / "dataset")
    return place


@pytest.fixture
def run_hyper(place, monkeypatch, capsys):
    """Run a command line in `place`; returns exit status, output and errors. The trials have processes of their own."""
    monkeypatch.chdir(place)

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["search", "--model=SASRec", "--dataset=tiny", *SETTINGS, *words])
        return status, *capsys.readouterr()

    return run


def test_the_script_is_this_command(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "run_hyper.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: python run_hyper.py")


def test_a_search_ends_goes_on_and_reports(place, run_hyper):
    (place / "hyper.test").write_text("learning_rate loguniform -7,-4\nhidden_size choice [8, 9, 16]\n")
    assert run_hyper("--params_file=hyper.test", "--trials=2", "--jobs=2")[0] == 0
    folder = place / "runs" / "hyper" / "tiny" / "SASRec"
    search = Search("SASRec", "tiny", [], {}, read_space(place / "hyper.test"), 2, folder)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "study.journal")))
    study = optuna.load_study(study_name="search", storage=storage)
    assert len(finished(study)) == 2
    for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
        record = json.loads(Path(place, trial.user_attrs["run_dir"], "result.json").read_text())
        assert trial.value == record["metrics"]["valid"]["ndcg@10"]
        settings = yaml.safe_load(Path(place, trial.user_attrs["run_dir"], "config.yaml").read_text())
        assert {key: settings[key] for key in trial.params} == search.space.settings(trial.params)
        assert not list(Path(place, trial.user_attrs["run_dir"]).glob("*.pth"))

    # A process that was killed leaves a trial behind, and the next call runs it again. 9 does not fit into 2 heads.
    study.enqueue_trial({"learning_rate": 0.005, "hidden_size": "9"})
    lost = study.ask(search.space.distributions)
    status, shown, _ = run_hyper("--params_file=hyper.test", "--trials=4")
    assert status == 0
    ended = finished(study)
    assert len(ended) == 4 and lost.number not in [trial.number for trial in ended]
    failed = [trial for trial in ended if trial.value is None]
    assert {"learning_rate": 0.005, "hidden_size": "9"} in [trial.params for trial in failed]
    assert "multiple of the number of attention heads" in shown and f"{len(failed)} failed" in shown

    with open(folder / "study.journal", "ab") as journal:  # as a search that is running has it
        assert locked(journal)
        status, _, error = run_hyper("--params_file=hyper.test", "--trials=5")
    assert status == 2 and f"Another process searches in {folder.relative_to(place)}" in error

    summary, best = (folder / "summary.md").read_text(), yaml.safe_load((folder / "best.yaml").read_text())
    given = {"n_layers": 1, "inner_size": 8, "topk": [5, 10], "valid_metric": "NDCG@10", "epochs": 1}
    assert best == {**given, **search.space.settings(study.best_trial.params)}
    assert _as_tuned(place, folder / "best.yaml") == what_it_is(
        yaml.safe_load(Path(place, study.best_trial.user_attrs["run_dir"], "config.yaml").read_text())
    )
    scores = [line.split("|")[2].strip() for line in summary.splitlines() if line.startswith("|")][2:]
    numbers = [float(score) for score in scores if score != "failed"]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] == pytest.approx(study.best_value, abs=1e-5)
    assert len(scores) == 4 and scores.count("failed") == len(failed)
    assert not (place / "runs" / "tiny").exists()  # the leaderboard does not see the trials

    assert run_hyper("--params_file=hyper.test", "--trials=4")[0] == 0 and len(finished(study)) == 4

    # No further trial begins once the time is up; of a new search there is always one.
    status, shown, _ = run_hyper("--params_file=hyper.test", "--trials=6", "--minutes=0.001")
    assert status == 0 and len(finished(study)) == 4 and "(none begins after 0.001)" in shown
    shown = run_hyper("--params_file=hyper.test", "--trials=3", "--minutes=0.001", "--study=short")[1]
    assert "SASRec on tiny: 1 trials in" in shown


def _as_tuned(place: Path, best: Path) -> dict:
    """The settings of a run that has this file as its tuned one."""
    file = place / "properties" / "tuned" / "tiny" / "SASRec.yaml"
    file.parent.mkdir(parents=True)
    shutil.copy(best, file)
    settings = Config("SASRec", "tiny", config_dict={"use_gpu": False}).to_dict()
    shutil.rmtree(place / "properties")
    return what_it_is(settings)


# What was tuned before, what the search is given, and what is tried.
CASES = {
    "a model that is tuned": ("UniSRec", {"epochs": 12, "train_on": "rows"}, {}, {"hidden_size": 16}),
    "what was given": ("SASRec", {"epochs": 12, "n_layers": 1}, {"epochs": 5, "seed": 7}, {"hidden_size": 16}),
    "a preset": ("SASRec", {"hidden_size": 96}, {"preset": "small"}, {"train_batch_size": 64.0}),
    "RecBole's words": ("SASRec", {}, {"eval_args.split": {"LS": "valid_and_test"}}, {}),
    "what this model can't have": ("SASRec", {}, {"strict": False, "draft_size": 3, "eval_args.group_by": "x"}, {}),
    "a choice that was made": ("SpecGRPP", {"tune": {"draft_size": [10, 20]}}, {}, {"draft_size": 10}),
    "a grid that was given": ("SpecGRPP", {"tune": {}}, {"tune": {"draft_size": [10, 20]}}, {"num_beams": 20}),
    "nothing to tune": ("SpecGRPP", {"tune": {"draft_size": [10, 20]}}, {"tune": {}}, {"tokenizer.levels": 3}),
    "a baseline": ("TIGER_decoder", {"epochs": 3}, {"warmup_steps": 5}, {"num_layers": 1}),
    "a baseline of its class' name": ("MeanItem", {"embedding_size": 32}, {}, {"learning_rate": 0.5}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_with_the_best_settings_as_tuned_file_is_the_best_trial(case, tiny_dataset, tmp_path):
    model, tuned, given, values = CASES[case]
    file = tmp_path / "properties" / "tuned" / "tiny" / f"{model}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(tuned))
    (tmp_path / "more.yaml").write_text("weight_decay: 0.25\n")
    environment = {key: tiny_dataset[key] for key in ("data_path", "use_gpu", "show_progress")}
    search = Search(model, "tiny", ["more.yaml"], {**environment, **given}, Space([], {}), 1, tmp_path)
    trial = search.config(values)
    file.write_text(yaml.safe_dump(tuned_settings(search, values)))
    again = Config(model, "tiny", config_dict={**environment, "seed": 9})
    for config in (trial, again):
        config.follow_data(DataSize(5000, 80, 60))
    assert what_it_is(again.to_dict()) == what_it_is(trial.to_dict()) and again["preset"] == trial["preset"]
    assert again["seed"] == 9 and again["weight_decay"] == 0.25
    assert what_it_is(Config.from_dict(again.to_dict()).to_dict()) == what_it_is(again.to_dict())  # when it is loaded


def test_every_combination_is_tried_once(place, run_hyper):
    (place / "two.test").write_text("hidden_size choice [8, 16]\n")
    status, shown, _ = run_hyper("--params_file=two.test", "--trials=20", "--study=two")
    assert status == 0 and "warning" not in shown
    assert "2 trials" in shown and (place / "two" / "best.yaml").is_file()
    status, _, error = run_hyper("--params_file=two.test", "--trials=20", "--study=two", "--learning_rate=0.01")
    assert status == 2 and "other settings: [learning_rate] was 0.001, now it is 0.01. " in error


def test_a_search_does_not_go_on_under_other_property_files(tiny_dataset, tmp_path):
    space = Space(["hidden_size choice [8]"], {"hidden_size": optuna.distributions.CategoricalDistribution(["8"])})

    def study(**given):
        return Search("SASRec", "tiny", [], {**tiny_dataset, **given}, space, 1, tmp_path / "study").study()

    begun = study()
    file = tmp_path / "properties" / "tuned" / "tiny" / "SASRec.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("epochs: 7\ntokenizer: {levels: 5}\nhidden_size: 24\n")
    with pytest.raises(UserError) as caught:
        study()
    assert "[epochs] was 100, now it is 7; [tokenizer.levels] was 3, now it is 5." in str(caught.value)
    assert "hidden_size" not in str(caught.value)  # it is searched
    file.write_text("seed: 3\npreset: small\n")
    with pytest.raises(UserError, match=r"\[preset\] was paper, now it is small; \[seed\] was 2026, now it is 3"):
        study()
    file.write_text("hidden_size: 24\n")
    study(show_progress=True)
    # One that was begun before such settings were kept, or before there was one of them.
    identity = begun.user_attrs["identity"]
    begun.set_user_attr("identity", {**identity, "resolved": {**identity["resolved"], "gone": 1}})
    study()
    del identity["resolved"]
    begun.set_user_attr("identity", identity)
    study()
    with pytest.raises(UserError, match="other settings"):
        study(text_dim=7)


def test_a_parameter_that_the_model_does_not_read_is_a_warning(place, run_hyper):
    (place / "idle.test").write_text("hidden_size choice [8]\ntokenizer.codebook_size choice [32, 64]\n")
    status, shown, _ = run_hyper("--params_file=idle.test", "--trials=2", "--study=idle")
    warning = "warning: SASRec does not read [tokenizer.codebook_size]: to search it changes nothing."
    assert status == 0 and warning in shown and warning in (place / "idle" / "summary.md").read_text()


def test_a_model_has_a_file_of_its_own_in_properties(place, run_hyper, capsys):
    folder = place / "properties" / "search"
    folder.mkdir(parents=True)
    (folder / "SASRec.hyper").write_text("hidden_size choice [8]\n")  # over the package's own
    status, shown, _ = run_hyper("--study=own")
    assert status == 0 and "Searched: hidden_size choice [8]." in shown
    status, error = main(["search", "--model=GRU4Rec", "--dataset=tiny", "--use_gpu=False"]), capsys.readouterr().err
    assert status == 2 and "properties/search/GRU4Rec.hyper" in error and "--params_file=FILE" in error
    status, _, error = run_hyper("--params_file=3")
    assert status == 2 and "[--params_file] must be the name of a file, but is [3]" in error


@pytest.mark.parametrize("file", sorted((ROOT / "properties" / "search").glob("*")), ids=lambda file: file.name)
def test_what_the_files_of_the_package_search_is_a_setting_of_the_model(file):
    assert file.suffix == ".hyper"
    for values in read_space(file).each():
        Config(file.stem, config_dict={**read_space(file).settings(values), "use_gpu": False})


def test_the_trials_end_with_the_search_that_is_killed(place):
    (place / "long.test").write_text("hidden_size choice [8, 16]\n")
    words = ["--model=SASRec", "--dataset=tiny", *(word for word in SETTINGS if "epochs" not in word)]
    words += ["--epochs=100000", "--eval_step=0", "--params_file=long.test", "--study=long"]
    search = subprocess.Popen([sys.executable, ROOT / "run_hyper.py", *words], cwd=place, start_new_session=True)
    until = time.monotonic() + 120
    log = place / "long" / "worker-0.log"
    while not (log.is_file() and "train 1/" in log.read_text()):
        assert search.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    search.kill()
    search.wait()
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(search.pid, 0)
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("hiden_size choice [8]", [], "[hiden_size]"),
        ("hidden_size choice [8, big]", [], "is [big], from the search"),
        ("hidden_dropout_prob uniform 0.1,1.5", [], "is [1.5], from the search"),
        ("hidden_size choice [8]", ["--hidden_size=8"], "fixed on the command line"),
        ("hidden_size choice [8]", ["--trials=0"], "[--trials]"),
        ("hidden_size choice [8]", ["--minutes=0"], "[--minutes] must be a number above 0, but is [0]"),
        ("hidden_size choice [8]", ["--minutes=long"], "[--minutes] must be a number above 0, but is [long]"),
        (None, ["--params_file=gone.test"], "[params_file: gone.test] can't be read"),
    ],
)
def test_a_mistake_is_one_line(place, run_hyper, text, words, message):
    if text:
        (place / "wrong.test").write_text(text)
        words = ["--params_file=wrong.test", *words]
    status, _, error = run_hyper("--study=none", *words)
    assert status == 2 and message in error and error.count("\n") == 1
    assert not (place / "none").exists()
