"""Studies: their files, their cells, and every one of them on a small piece of ml-100k."""

import csv
import importlib.util
import io
import json
import os
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from conftest import ROOT
from study_cells import made_up

from recbole_specgr.commands.command_line import main
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.leaderboard.formats import to_csv
from recbole_specgr.leaderboard.grid import Grid
from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.render import study_data
from recbole_specgr.leaderboard.study_data import read_cells
from recbole_specgr.leaderboard.study_plots import study_plots
from recbole_specgr.leaderboard.study_view import name_of, study_grids
from recbole_specgr.runs.comparison import alike, differences
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import read_config, write_config
from recbole_specgr.settings.precedence import expand_dotted
from recbole_specgr.settings.registry import resolve
from recbole_specgr.studies import trained
from recbole_specgr.studies.cells import RUNS
from recbole_specgr.studies.engine import StudyRunner, _Loaded
from recbole_specgr.studies.measures import MEASURES
from recbole_specgr.studies.spec import list_studies, read_study
from recbole_specgr.studies.table_rows import table_rows
from recbole_specgr.studies.trained import RunFailed, TrainedRuns
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.errors import UserError

SMALL = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2, "epochs": 1}
IDS = {"codebook_size": 48, "levels": 2, "min_utilisation": 0.0, "rqvae": {"epochs": 10, "warmup_epochs": 2}}
T5 = {"d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_beams": 10, "epochs": 1}
TUNED = {
    **dict.fromkeys(("SASRec", "SASRec_T", "UniSRec"), SMALL),
    "TIGER": {**T5, "warmup_steps": 2, "train_batch_size": 512, "tokenizer": {**IDS, "method": "rqkmeans"}},
    "DSI": {"tokenizer": {"min_utilisation": 0.0}},
    "RPG": {**SMALL, "tokenizer": {"codebook_size": 8, "levels": 8, "min_utilisation": 0.0}},
    "LIGER": {**T5, "projection_sizes": [8], "tune": {"num_generated": [20]}},
    "TIGER_C": {"tune": {"epsilon": [0.1]}},
    "SpecGRPP": {"epochs": 1, "contrastive_batch_size": 512, "stages": {"finetune": {"epochs": 1}}},
}
TUNED["TextSASRec"] = TUNED["SASRec"]
TUNED["SpecGRPP_RPG"] = {**TUNED["RPG"], "tune": {"unseen_bonus": [0.0]}}
for drafting in ("SpecGRPP", "SpecGR_Aux"):
    few = {"draft_size": [10], "num_beams": [10], "accept_threshold": [-2.0]}
    TUNED[drafting] = {**TUNED.get(drafting, {}), "draft_size": 10, "tune": few}


def write_small_ml100k(data_path: Path) -> None:
    """`ml`: every 28th user of ml-100k with the first 24 of their films, a quarter of the films launched late."""
    source = Path(importlib.util.find_spec("recbole").submodule_search_locations[0]) / "dataset_example" / "ml-100k"
    head, *lines = (source / "ml-100k.inter").read_text().splitlines()
    kept: dict[str, list[str]] = {}
    for line in lines:
        user = line.split("\t")[0]
        if int(user) % 28 == 0 and len(kept.setdefault(user, [])) < 24:
            kept[user].append(line)
    lines = [line for user in kept.values() for line in user]
    films = {line.split("\t")[1] for line in lines}
    head_item, *items = (source / "ml-100k.item").read_text().splitlines()
    (data_path / "ml").mkdir(parents=True)
    (data_path / "ml" / "ml.inter").write_text("\n".join([head, *lines]) + "\n")
    items = [line for line in items if line.split("\t")[0] in films]
    (data_path / "ml" / "ml.item").write_text("\n".join([head_item, *items]) + "\n")
    settings = yaml.safe_load((ROOT / "properties" / "dataset" / "ml-100k.yaml").read_text())
    settings["launch_holdout"] = {"share": 0.25, "seed": 1}
    (data_path / "ml" / "ml.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A working directory with the small data set and models small enough; runs made in it serve all tests."""
    folder, before = tmp_path_factory.mktemp("studies"), Path.cwd()
    write_small_ml100k(folder / "dataset")
    for model, settings in TUNED.items():
        path = folder / "properties" / "tuned" / "ml" / f"{model}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(settings))
    os.chdir(folder)
    yield folder
    os.chdir(before)


class Launches:
    """Makes runs in this process and remembers how many."""

    def __init__(self):
        self.commands: list[list[str]] = []

    def __call__(self, words: list[str]) -> None:
        self.commands.append(words)
        if main(words):
            raise RunFailed(" ".join(words))


COMMON = {"use_gpu": False, "show_progress": False, "text_dim": 8, "topk": [5, 10], "valid_metric": "NDCG@10"}


def runs_of(launches: Launches) -> TrainedRuns:
    return TrainedRuns("ml", COMMON, launches)


def run(name: str, launches: Launches, folder: Path, seeds=(2026,), quick=True) -> list[str]:
    return StudyRunner(read_study(name), runs_of(launches), folder / name, quick, show_progress=False).run(list(seeds))


def run_own(name: str, study: str, workplace: Path, folder: Path) -> list[str]:
    """The faults of a study of the user's own, whose file is there only while it runs."""
    path = workplace / "properties" / "study" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(study)
    try:
        return run(name, Launches(), folder)
    finally:
        path.unlink()


# ---- running ---------------------------------------------------------------------------------------------------------

MEASURED = [name for name in list_studies() if read_study(name).variants]


@pytest.mark.parametrize("name", MEASURED)
def test_every_study_runs_and_is_drawn(name, workplace):
    study, folder = read_study(name), workplace / "cells"
    assert run(name, Launches(), folder) == []
    data = read_cells(study, folder / name)
    setups = list(study.setups(quick=True))
    assert len(data.sources) == len(setups) and data.missing == len(list(study.setups())) - len(setups)
    assert list(dict.fromkeys(point.label for point in data.points)) == [v["label"] for v in study.variants]
    for grid in study_grids(data):
        assert isinstance(grid, Grid) and {len(row) for row in grid.rows} == {len(grid.columns)}
        for column, cells in zip(grid.columns[1:], list(zip(*(row[1:] for row in grid.rows)))):
            # what keeps a share of another model's quality may be nothing on a data set as small as this
            assert "while keeping" in column.span or any(cell.text != "-" for cell in cells), grid.columns
    plots = study_plots(data)
    assert len(plots) == len(study.plots) and all(plot.series for plot in plots)
    assert all(ElementTree.fromstring(to_svg(plot)).tag.endswith("svg") for plot in plots)
    again = Launches()
    assert run(name, again, folder) == [] and not again.commands


def test_what_is_measured_holds_together(workplace):
    """Numbers of the cells against each other and against the runs' records."""
    folder, launches = workplace / "cells", Launches()
    for name in ("hyperparameters", "diversity", "size", "capabilities"):
        run(name, launches, folder)
    for _, cell in zip(range(40), read_cells(read_study("diversity"), folder / "diversity").sources):
        found, test = cell["measured"], cell["measured"]
        share = test["unseen_count"] / (test["unseen_count"] + test["in_sample_count"])
        overall = share * test["unseen_recall@10"] + (1 - share) * test["in_sample_recall@10"]
        assert found["recall@10"] == pytest.approx(overall, abs=2e-5)
        assert 0 <= found["list_unseen_share"] <= 1 and 0 < found["coverage"] <= 1
        inductive = getattr(resolve(cell["model"]).model_class, "inductive", False)
        if inductive is False:
            assert found["list_unseen_share"] == found["unseen_recall@10"] == found["unseen_coverage"] == 0
        if cell["model"] == "MostPop":
            assert found["coverage"] < 0.2 and found["popularity"] > 2
    for cell in read_cells(read_study("hyperparameters"), folder / "hyperparameters").sources:
        assert 1 <= cell["measured"]["rounds"] <= 3 and 0 <= cell["measured"]["acceptance_rate"] <= 1
        assert cell["decoding"].items() >= cell["set"].items()
    strict, lax = (
        next(
            c
            for c in read_cells(read_study("hyperparameters"), folder / "hyperparameters").sources
            if c["axes"] == axes
        )
        for axes in ({"accept_threshold": -1.1}, {"accept_threshold": -4.0})
    )
    assert strict["measured"]["acceptance_rate"] <= lax["measured"]["acceptance_rate"]
    assert strict["measured"]["rounds"] >= lax["measured"]["rounds"]


def test_a_cell_of_other_settings_is_measured_again_and_one_that_was_changed_is_refused(workplace, tmp_path):
    launches = Launches()
    run("latency", launches, tmp_path)
    path = sorted((tmp_path / "latency").glob("tiger-*.json"))[0]
    cell = json.loads(path.read_text())
    runs = json.loads((tmp_path / "latency" / RUNS).read_text())
    other = json.loads(json.dumps(runs[cell["run_id"]]))
    other["settings"]["d_model"] = 99
    (tmp_path / "latency" / RUNS).write_text(json.dumps({**runs, cell["run_id"]: other}))
    before = len(launches.commands)
    run("latency", launches, tmp_path)
    assert len(launches.commands) == before  # the run is there, the cell is measured again
    assert json.loads(path.read_text())["finished"] >= cell["finished"]
    path.write_text(json.dumps({**cell, "measured": {**cell["measured"], "latency_ms": 0.001}}))
    with pytest.raises(UserError, match="its digest is not that of its content"):
        read_cells(read_study("latency"), tmp_path / "latency")


def test_a_study_that_needs_what_is_not_there_says_so_and_goes_on(workplace, tmp_path):
    study = """
    title: Needs
    variants:
      - {label: none, model: NoSuchModel}
      - {label: popularity, model: MostPop}
      - {label: drafts, model: SASRec, measure: {acceptance: {}}}
      - {label: beams, model: SASRec, decode: {num_beams: 3}}
      - {label: breaks, model: SASRec, train: {learning_rate: 1.0e+30, clip_grad_norm: null}}
    measure: {quality: {}}
    """
    faults = run_own("needs", study, workplace, tmp_path)
    assert [fault.partition(",")[0] for fault in faults] == ["none", "drafts", "breaks"]
    assert "There is no model [NoSuchModel]" in faults[0]
    assert "SASRec can't be measured by [acceptance]" in faults[1] and "learning_rate" in faults[2]
    labels = {json.loads(path.read_text()).get("label") for path in (tmp_path / "needs").glob("popularity*.json")}
    assert labels == {"popularity"}


def test_one_batch_is_not_timed(workplace, tmp_path):
    study = (
        "title: Once\nvariants:\n"
        "  - {label: a, model: SASRec, measure: {timing: {batch_size: 100000}}}\n"
        "  - {label: b, model: MostPop, measure: {subset: {size: 5, batch_size: 100000}}}\n"
    )
    faults = run_own("once", study, workplace, tmp_path)
    assert len(faults) == 2 and all("are one batch, and" in fault for fault in faults)


def test_a_setting_of_inference_out_of_its_range_is_not_measured(workplace, tmp_path):
    study = (
        "title: Beyond\nmeasure: {quality: {}}\n"
        "variants: [{label: a, model: SASRec, grid: {decode: {mmr_weight: [1.0, 2.0]}}}]\n"
    )
    faults = run_own("beyond", study, workplace, tmp_path)
    assert len(faults) == 1 and "[decode.mmr_weight] must be a number from 0 to 1, but is [2.0]" in faults[0]
    assert len(list((tmp_path / "beyond").glob("a-mmr-weight-*.json"))) == 1


# ---- trained runs ----------------------------------------------------------------------------------------------------


def test_runs_are_found_by_what_they_are(workplace):
    launches = Launches()
    runs = runs_of(launches)
    plain, other = Wanted("SASRec"), Wanted("SASRec", {"hidden_size": 4})
    first = runs.ensure(plain, 1)
    made = len(launches.commands)
    assert runs.ensure(plain, 1) == runs.find(plain, 1) == first and len(launches.commands) == made
    assert runs.find(other, 1) is None and runs.find(plain, 77) is None
    variant = runs.ensure(other, 1)
    assert variant.parts[-5:-1] == ("runs", "variants", "ml", "SASRec") and first.parts[-4] == "runs"
    assert runs.find(plain, 1) == first and runs.find(other, 1) == variant
    (variant / "train.pth").unlink()
    assert runs.find(other, 1) is None
    assert TrainedRuns("ml", {**COMMON, "epochs": 0}, launches).find(plain, 1) is None


def test_a_setting_that_there_is_not_is_said_to_be_the_studys(workplace):
    with pytest.raises(UserError, match="from the study's file or the command line"):
        runs_of(Launches()).config(Wanted("SASRec", {"hiden_size": 4}), 1)


def test_a_run_that_trains_its_parts_itself_is_not_gone_on_with_by_trained_ones(workplace):
    words: list[list[str]] = []

    def fails(command: list[str]) -> None:
        words.append(command)
        raise RunFailed

    runs, knn = runs_of(Launches()), Wanted("SemanticKNN")
    uses = {"drafter_run": runs.ensure(knn, 2026)}
    wanted = Wanted("SpecGR_Aux", {"drafter": "SemanticKNN", "draft_size": 7}, {"drafter_run": knn})
    folder = workplace / "runs" / "variants" / "ml" / "SpecGR_Aux" / "begun"
    runs.launch = fails
    for made_of, goes_on in (({}, False), (uses, True)):
        write_config(folder, runs.config(wanted, 2026, made_of))
        (folder / "last.pth").touch()
        with pytest.raises(RunFailed):
            runs.ensure(wanted, 2026)
        assert (words[-1][-1] == f"--resume={folder.relative_to(workplace)}") == goes_on
    shutil.rmtree(folder)


def test_what_a_run_uses_is_made_once_and_taken(workplace):
    launches = Launches()
    runs = runs_of(launches)
    tiger, knn = Wanted("TIGER"), Wanted("SemanticKNN")
    both = Wanted("SpecGR_Aux", {"drafter": "SemanticKNN"}, {"backbone_run": tiger, "drafter_run": knn})
    run_dir = runs.ensure(both, 2026)
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert Path(settings["backbone_run"]) == runs.find(tiger, 2026)
    assert Path(settings["drafter_run"]) == runs.find(knn, 2026)
    assert not any("SpecGR_Aux" in word for words in launches.commands for word in words) or launches.commands
    made = len(launches.commands)
    assert runs.ensure(both, 2026) == run_dir and len(launches.commands) == made


def test_an_interrupted_run_is_gone_on_with(workplace, monkeypatch):
    from recbole_specgr.training.staged import StagedTrainer

    launches, runs = Launches(), None
    runs = runs_of(launches)
    wanted = Wanted("SASRec", {"epochs": 3})
    timed_epoch = StagedTrainer._timed_epoch

    def interrupted(trainer, progress, *rest):
        if progress.epoch == 2:
            raise KeyboardInterrupt
        return timed_epoch(trainer, progress, *rest)

    monkeypatch.setattr(StagedTrainer, "_timed_epoch", interrupted)
    with pytest.raises(RunFailed):
        runs.ensure(wanted, 5)
    monkeypatch.undo()
    run_dir = runs.ensure(wanted, 5)
    assert launches.commands[-1][-1] == f"--resume={run_dir}"
    record = json.loads((run_dir / "result.json").read_text())
    assert record["training"]["train"]["epochs"] == 3 and "--seed=5" in " ".join(launches.commands[-1])


@pytest.fixture
def imported(workplace, tmp_path):
    """A copy of the data set, and a function that imports other interactions under its name: all but the last ones."""
    shutil.copytree(workplace / "dataset", tmp_path / "dataset")
    file = tmp_path / "dataset" / "ml" / "ml.inter"
    first = file.read_text().splitlines()

    def again(left_out: int) -> None:
        file.write_text("\n".join(first[: len(first) - left_out]) + "\n")

    return again


def settings_of_copy(folder: Path) -> dict:
    return {**COMMON, "data_path": str(folder / "dataset"), "runs_path": str(folder / "runs")}


def test_a_run_of_what_the_data_set_held_before_is_passed_over(imported, tmp_path, caplog):
    launches, settings, popular = Launches(), settings_of_copy(tmp_path), Wanted("MostPop")
    first = TrainedRuns("ml", settings, launches).ensure(popular, 1)
    imported(1)
    runs = TrainedRuns("ml", settings, launches)
    assert runs.find(popular, 1) is None and runs.find(popular, 1) is None
    (told,) = [text for text in caplog.messages if "passed over" in text]
    assert f"{first} is passed over, for the data set was another then: its fingerprint is" in told
    second = runs.ensure(popular, 1)
    assert second != first and runs.find(popular, 1) == second and len(launches.commands) == 2
    imported(0)
    assert TrainedRuns("ml", settings, launches).ensure(popular, 1) == first and len(launches.commands) == 2


def test_a_run_that_was_begun_on_other_data_is_not_gone_on_with(imported, tmp_path):
    launches, settings, wanted = Launches(), settings_of_copy(tmp_path), Wanted("MostPop")
    first = TrainedRuns("ml", settings, launches).ensure(wanted, 1)
    (first / "result.json").unlink()
    (first / "last.pth").touch()
    imported(1)
    second = TrainedRuns("ml", settings, launches).ensure(wanted, 1)
    assert second != first and not any("--resume" in word for word in launches.commands[-1])


def test_the_data_set_is_loaded_once_for_all_runs_that_read_it_alike(imported, tmp_path, monkeypatch):
    runs = TrainedRuns("ml", settings_of_copy(tmp_path), Launches())
    made = [runs.ensure(Wanted(model), 1) for model in ("MostPop", "RecentPop")]
    loaded = []
    init = InductiveDataset.__init__
    monkeypatch.setattr(InductiveDataset, "__init__", lambda self, config: loaded.append(1) or init(self, config))
    again = TrainedRuns("ml", settings_of_copy(tmp_path), Launches())
    assert [again.find(Wanted(model), 1) for model in ("MostPop", "RecentPop")] == made and len(loaded) == 1


@pytest.fixture
def in_this_process(monkeypatch) -> Launches:
    """Commands train their runs in this process."""
    launches = Launches()
    monkeypatch.setattr(trained, "run_training", launches)
    monkeypatch.setattr(sys, "argv", ["recbole-specgr"])  # from which a record has its command
    return launches


def test_cells_of_what_the_data_set_held_before_are_measured_again(
    workplace, imported, in_this_process, tmp_path, caplog
):
    study = workplace / "properties" / "study" / "later.yaml"
    study.parent.mkdir(exist_ok=True)
    study.write_text("title: Later\nvariants: [{label: popularity, model: MostPop}]\nmeasure: {quality: {}}\n")
    words = ["study", "later", "--dataset=ml", f"--leaderboards={tmp_path}/boards"]
    words += [f"--{key}={value}" for key, value in settings_of_copy(tmp_path).items()]

    def measured() -> dict:
        assert main(words) == 0
        (cell,) = (tmp_path / "boards" / "ml" / "studies" / "later").glob("popularity*.json")
        return json.loads(cell.read_text())

    first = measured()
    assert measured() == first
    imported(1)
    second = measured()
    study.unlink()
    assert second["protocol"]["fingerprint"] != first["protocol"]["fingerprint"] and second["run_id"] == first["run_id"]
    assert sum("measured on other data than the data set holds now" in text for text in caplog.messages) == 1


def test_a_table_is_made_anew_where_the_data_set_holds_something_else(imported, in_this_process, tmp_path, capsys):
    words = ["table", "--dataset=ml", "--rows", "MostPop", f"--leaderboards={tmp_path}/boards"]
    words += [f"--{key}={value}" for key, value in settings_of_copy(tmp_path).items()]
    for left_out, outcome, made in ((0, "added", 1), (0, "is there already", 1), (1, "added", 2)):
        imported(left_out)
        assert main(words) == 0 and outcome in capsys.readouterr().out
        assert len(in_this_process.commands) == made


def test_a_data_set_whose_files_are_not_there_is_one_sentence_a_row(workplace, tmp_path, capsys):
    words = ["--dataset=gone", f"--leaderboards={tmp_path}/boards"]
    made_up(read_study("latency"), tmp_path / "boards" / "gone" / "studies" / "latency", lambda *_: {"latency_ms": 1.0})
    assert main(["table", "--rows", "MostPop", *words]) == 1
    assert "MostPop, seed 2026: There is no data set [gone]" in capsys.readouterr().err
    assert main(["study", "latency", *words]) == 1
    shown = capsys.readouterr()
    assert "There is no data set [gone]" in shown.err and "speed over TIGER" in shown.out  # the cells are shown


def test_settings_that_came_later_do_not_count():
    old = {"d_model": 8, "seed": 1, "tokenizer": {"levels": 2}, "stages": {"train": {}}, "runs_path": "a"}
    new = {**old, "seed": 2, "later": 5, "tokenizer": {"levels": 2, "later": 1}, "runs_path": "b"}
    assert alike(old, new)
    assert not alike(old, {**new, "d_model": 9}) and not alike(old, {**new, "tokenizer": {"levels": 3}})
    assert not alike(old, {**new, "stages": {"train": {"epochs": 1}}})
    assert alike({"epsilon": 0.1, "tune": {"epsilon": [0.1, 0.2]}}, {"epsilon": 0.2, "tune": {"epsilon": [0.1, 0.2]}})
    assert not alike({"epsilon": 0.1, "tune": None}, {"epsilon": 0.2, "tune": None})
    assert alike({"text_encoder": "/here/x.npz"}, {"text_encoder": "/there/x.npz"})


@pytest.mark.parametrize("name", ["text_encoder", "tokenizer.codebooks"])
def test_files_are_told_apart_by_their_content_where_both_digests_are_known(name):
    def settings(path: str, digest: str | None = None) -> dict:
        values = expand_dotted({name: path, "d_model": 8}, "a test")
        return {**values, "file_digests": {name: digest}} if digest else values

    here, there = settings("/here/x.npz", "a" * 16), settings("/there/x.npz", "b" * 16)
    assert differences(here, there)[name] == tuple(
        f"{path} (content {digest * 8})" for path, digest in zip(SHOWN[name], "ab")
    )
    assert alike(here, settings("/there/y.npz", "a" * 16))
    assert alike(here, settings("/here/x.npz")) and alike(settings("/here/x.npz"), here)
    assert not alike(here, settings("/here/y.npz")) and not alike(here, {**here, "d_model": 9})


SHOWN = {"text_encoder": ("x.npz", "x.npz"), "tokenizer.codebooks": ("/here/x.npz", "/there/x.npz")}


def write_vectors(file: Path, seed: int) -> str:
    """Random vectors of all films; returns the file's path."""
    films = [line.split("\t")[0] for line in Path("dataset/ml/ml.item").read_text().splitlines()[1:]]
    file.parent.mkdir(exist_ok=True)
    np.savez(file, item_id=np.array(films), features=np.random.default_rng(seed).normal(size=(len(films), 8)))
    return str(file)


def test_a_run_on_other_vectors_of_the_same_name_is_another_run(workplace, tmp_path):
    launches = Launches()
    first, second = (write_vectors(tmp_path / name / "vectors.npz", seed) for seed, name in enumerate(("v1", "v2")))
    knn, runs = Wanted("SemanticKNN"), str(tmp_path / "runs")

    def made(path: str) -> Path:
        return TrainedRuns("ml", {**COMMON, "runs_path": runs, "text_encoder": path}, launches).ensure(knn, 1)

    one, two = made(first), made(second)
    assert one != two and made(first) == one and made(second) == two and len(launches.commands) == 2
    records = [json.loads((run / "result.json").read_text())["settings"] for run in (one, two)]
    assert records[0]["text_encoder"] == records[1]["text_encoder"] == "vectors.npz"
    assert differences(*records).keys() == {"text_encoder"}
    # It is the file that the run was begun with, whatever lies there later, and wherever it goes.
    shutil.move(first, tmp_path / "moved.npz")
    shutil.copy(second, first)
    assert read_config(one).to_dict()["file_digests"] == records[0]["file_digests"]
    assert made(str(tmp_path / "moved.npz")) == one and made(first) == two and len(launches.commands) == 2
    with pytest.raises(UserError, match=r"\[text_encoder\] was vectors.npz \(content \w{8}\), now it is vectors.npz"):
        configure(None, None, None, {"resume": str(one), "text_encoder": second})
    # A run of a version that kept no digests is found by the name.
    config = yaml.safe_load((one / "config.yaml").read_text())
    del config["file_digests"]
    (one / "config.yaml").write_text(yaml.safe_dump(config))
    shutil.rmtree(two)
    assert made(second) == one


def test_rows_of_the_table_take_from_each_other():
    rows = table_rows()
    for name, wanted in rows.items():
        assert resolve(name).name == name == wanted.model
        assert all(other.model in rows for other in wanted.uses.values())
    assert rows["SpecGR_Aux"].uses == {"drafter_run": rows["UniSRec"], "backbone_run": rows["TIGER"]}
    assert rows["TIGER_C"].uses == {"backbone_run": rows["TIGER"]}
    assert list(table_rows(["SASRec"])) == ["SASRec"]
    with pytest.raises(UserError, match=r"no row \[SASRex\].*Did you mean \[SASRec\]"):
        table_rows(["SASRex"])


def test_a_row_of_the_table_that_is_written_otherwise_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties").mkdir()
    (tmp_path / "properties" / "table.yaml").write_text("ml-100k:\n  - SASRec\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"properties/table\.yaml: the row \[ml-100k\] must be a model's name"):
        table_rows()


# ---- files -----------------------------------------------------------------------------------------------------------


def test_every_table_and_figure_of_the_paper_has_a_study():
    reproduced = {read_study(name).reproduces for name in list_studies()}
    tables = {f"Table {number}" for number in ("3", "4", "A1", "A3", "A4", "A5", "A6", "A7", "A8", "A9")}
    assert reproduced >= tables | {"Figure 3", "Figure A1", "Figure A2 (left)", "Figure A2 (right)"}


def test_cells_have_names_of_their_own():
    for name in MEASURED:
        names = [setup.file_name(seed) for setup in read_study(name).setups() for seed in (1, 2)]
        assert len(set(names)) == len(names) and all(len(name) < 120 for name in names)
        assert {name for setup in read_study(name).setups() for name in setup.measure} <= MEASURES.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: [{label: a, model: b}]", "needs a title"),
        ("{title: t}", "either variants or slices or curves"),
        ("{title: t, variants: [{label: a}]}", "a label and a model"),
        ("{title: t, variants: [{label: a, model: b}], mesure: {}}", r"no key \[mesure\].*Did you mean \[measure\]"),
        ("{title: t, variants: [{label: a, model: b, decod: {}}]}", r"no key \[decod\]"),
        ("{title: t, variants: [{label: a, model: b}, {label: a, model: c}]}", "the same label"),
        ("{title: t, variants: [{label: a, model: b}], grid: {decode: {x: 3}}}", "must be a list of values"),
        ("{title: t, variants: [{label: a, model: b}], grid: {measure: {x: [3]}}}", r"must be MEASURE.PARAMETER"),
    ],
)
def test_a_faulty_study_is_explained(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties" / "study").mkdir(parents=True)
    (tmp_path / "properties" / "study" / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_study("mine")
    with pytest.raises(UserError, match=r"no study \[ablatio\].*Did you mean \[ablation\]"):
        read_study("ablatio")


def test_an_unknown_measure_or_parameter_is_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties" / "study").mkdir(parents=True)
    for measure, message in (
        ("qualitty: {}", r"no measure \[qualitty\]"),
        ("timing: {size: 1}", r"takes no \[size\]"),
        ("timing: {batches: 0}", r"\[measure.timing.batches\] must be a whole number from 1"),
        ("new_items: {drafts: 50}", r"\[measure.new_items.drafts\] must be a list of whole numbers"),
        ("new_items: {drafts: []}", r"\[measure.new_items.drafts\]"),
        ("acceptance: {rows: 0}", r"\[measure.acceptance.rows\] must be a whole number from 1, or ~"),
        ("subset: {size: 5, method: 3}", r"\[measure.subset.method\] must be text"),
    ):
        text = f"{{title: t, variants: [{{label: a, model: MostPop}}], measure: {{{measure}}}}}"
        (tmp_path / "properties" / "study" / "mine.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            StudyRunner(read_study("mine"), TrainedRuns("ml"), tmp_path)


# ---- showing ---------------------------------------------------------------------------------------------------------


def texts(grid: Grid) -> list[list[str]]:
    return [[cell.text for cell in row] for row in grid.rows]


def test_means_over_seeds_places_and_ratios(tmp_path):
    study = read_study("latency")
    slow = {"TIGER": 8.0, "SpecGR (UniSRec)": 4.0, "SpecGR++": 2.0}
    made_up(study, tmp_path, lambda setup, seed: {"latency_ms": slow[setup.label] * (0.5 if seed == 1 else 1.5)})
    data = read_cells(study, tmp_path)
    (grid,) = study_grids(data)
    at = [column.title for column in grid.columns].index("speed over TIGER")
    assert [row[at].text for row in grid.rows] == ["1.00x"] + ["2.00x"] * 3 + ["4.00x"] * 3
    assert "Seeds 1, 2." in grid.caption
    (plot,) = study_plots(data)
    series = next(series for series in plot.series if series.name == "SpecGR++")
    assert series.x == [20, 50, 100] and series.y == [2.0] * 3 and series.low[0] < 2.0 < series.high[0]


def test_pivot_of_lists(tmp_path):
    study = read_study("acceptance")
    made_up(study, tmp_path, lambda setup, seed: {"acceptance_by_round": [0.1 * seed, 0.05]}, seeds=(1,))
    (grid,) = study_grids(read_cells(study, tmp_path))
    assert [column.title for column in grid.columns[2:]] == ["1", "2"]
    assert texts(grid)[0] == ["w/o", "-1.4", "10.0 %", "5.0 %"]


def test_frontier_takes_what_keeps_its_share(tmp_path):
    study = read_study("tradeoff")

    def value(setup, seed):
        epsilon = setup.axes.get("epsilon", 0)
        good = {"TIGER": 0.4}.get(setup.label, 0.2)
        return {
            "in_sample_recall@50": 0.4 - 0.2 * epsilon if setup.label == "TIGER_C" else good,
            "unseen_recall@50": epsilon,
        }

    made_up(study, tmp_path, value, seeds=(1,))
    _, frontier = study_grids(read_cells(study, tmp_path))
    rows = {row[0]: row[1:] for row in texts(frontier)}
    assert rows["TIGER"] == ["0.0000"] * 4
    assert rows["TIGER_C"] == ["0.0000", "0.1000", "0.2000", "0.3000"]  # 0.4 - 0.2 e >= share * 0.4
    assert rows["UniSRec"] == ["-"] * 4
    for cell in tmp_path.glob("tiger-seed*.json"):
        cell.unlink()
    assert len(study_grids(read_cells(study, tmp_path))) == 1, "there is nothing to be as good as"


def test_the_smallest_is_the_best_of_what_is_better_smaller(tmp_path):
    study = read_study("ablation")
    keys = ["giniindex@50", "valid_averagepopularity@50", "recall@50", "unseen_draft_recall@50"]
    study.table = {"columns": keys}
    labels = [variant["label"] for variant in study.variants]
    made_up(study, tmp_path, lambda setup, seed: dict.fromkeys(keys, 0.1 + labels.index(setup.label)), seeds=(1,))
    (grid,) = study_grids(read_cells(study, tmp_path))
    gini, popularity, recall, drafts = ([row[at].place for row in grid.rows] for at in range(-4, 0))
    rest = [None] * (len(labels) - 2)
    assert gini == popularity == [1, 2, *rest] and recall == drafts == [*rest, 2, 1]


def test_the_frontier_of_a_metric_that_is_better_smaller(tmp_path):
    """By hand: TIGER has recall 0.4 and Gini index 0.9; TIGER_C loses recall and gets more even with epsilon."""
    study = read_study("tradeoff")

    def value(setup, seed):
        epsilon = setup.axes.get("epsilon", 0)
        if setup.label == "TIGER_C":
            return {"recall@50": 0.4 - 0.2 * epsilon, "giniindex@50": 0.8 - epsilon}
        return {"recall@50": 0.4 if setup.label == "TIGER" else 0.1, "giniindex@50": 0.9}

    made_up(study, tmp_path, value, seeds=(1,))
    shares = [1.0, 0.95, 0.9]
    study.table["frontier"] = {"hold": "recall@50", "best": "giniindex@50", "of": "TIGER", "shares": shares}
    _, frontier = study_grids(read_cells(study, tmp_path))
    rows = {row[0].text: row[1:] for row in frontier.rows}
    assert [cell.text for cell in rows["TIGER_C"]] == ["0.8000", "0.7000", "0.6000"]
    assert [cell.place for cell in rows["TIGER_C"]] == [1] * 3 and [cell.place for cell in rows["TIGER"]] == [None] * 3
    study.table["frontier"] = {"hold": "giniindex@50", "best": "recall@50", "of": "TIGER", "shares": shares}
    _, frontier = study_grids(read_cells(study, tmp_path))
    rows = {row[0]: row[1:] for row in texts(frontier)}
    assert rows["UniSRec"] == ["0.1000"] * 3  # as even as TIGER
    shares = [1.0, 0.9, 0.85]
    study.table["frontier"] = {"hold": "giniindex@50", "best": "recall@50", "of": "TIGER_C", "shares": shares}
    _, frontier = study_grids(read_cells(study, tmp_path))
    assert {row[0]: row[1:] for row in texts(frontier)}["UniSRec"] == ["-", "-", "0.1000"]  # 0.8 is 0.89 of 0.9


def test_ranges(tmp_path):
    study = read_study("capabilities")
    made_up(
        study, tmp_path, lambda setup, seed: {"users_per_second": 10.0 + setup.axes.get("num_beams", 0)}, seeds=(1,)
    )
    (grid,) = study_grids(read_cells(study, tmp_path))
    rows = {row[0]: row for row in texts(grid)}
    assert rows["TIGER"][3] == "60 to 110" and rows["UniSRec"][3] == "10"
    written = {row[0]: row for row in csv.reader(io.StringIO(to_csv(grid)))}
    assert written["TIGER"][3] == "60 to 110" and written["UniSRec"][3] == "10"


def test_a_range_is_the_mean_of_the_seeds_ranges(tmp_path):
    """By hand: with 50 and 100 beams one seed has 50 and 100 users/s, the other 100 and 50; both have 50 to 100."""
    study = read_study("capabilities")

    def value(setup, seed):
        beams = setup.axes.get("num_beams", 0)
        return {"users_per_second": float(beams if seed == 1 else 150 - beams)}

    made_up(study, tmp_path, value, seeds=(1, 2))
    (grid,) = study_grids(read_cells(study, tmp_path))
    assert {row[0]: row for row in texts(grid)}["TIGER"][3] == "50 to 100"


def test_bars_over_labels_are_apart_for_each_value_of_an_axis(tmp_path):
    study = read_study("new_items")
    drafted = {"valid": 0.2, "test": 0.3}
    made_up(study, tmp_path, lambda setup, seed: {"unseen_draft_recall@50": drafted[setup.axes["new_items.phase"]]})
    (plot,) = study_plots(read_cells(study, tmp_path))
    labels = [variant["label"] for variant in study.variants]
    assert {series.name: series.y for series in plot.series} == {
        f"phase {phase}, drafted in 50": [share] * len(labels) for phase, share in drafted.items()
    }
    assert all(series.x == labels for series in plot.series)


def test_cells_under_another_protocol_are_left_out(tmp_path):
    study = read_study("redrafting")
    made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.1}, seeds=(1, 2))
    made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.9}, seeds=(3,), protocol="q")
    data = read_cells(study, tmp_path)
    assert data.left_out == 6 and {point.values["recall@50"].mean for point in data.points} == {0.1}
    assert "6 cells under another protocol are left out" in study_grids(data)[0].caption


@pytest.mark.parametrize("change", ["train", "decode", "measure", "model"])
def test_cells_measured_otherwise_than_the_study_says_now_are_left_out(tmp_path, change):
    study = read_study("redrafting")
    made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.1})
    first = study.variants[0]
    changes = {
        "train": {"train": {"epochs": 3}},
        "decode": {"decode": {"num_beams": 7}},
        "measure": {"measure": {"quality": {}, "acceptance": {"rows": 5}}},
        "model": {"model": "TIGER"},
    }
    if change == "measure":
        study.measure = {"quality": {}, "acceptance": {"rows": 9}}
        made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.1})
    study.variants[0] = {**first, **changes[change]}
    data = read_cells(study, tmp_path)
    places = sum(setup.label == first["label"] for setup in study.setups())
    assert data.outdated == 2 * places and data.missing == places
    assert first["label"] not in {point.label for point in data.points}
    caption = study_grids(data)[0].caption
    assert f"{data.outdated} cells that were measured under other settings are left out" in caption
    study.variants[0] = first
    study.measure = {**study.measure, "likeness": {}}  # it gives further numbers, and changes none
    assert read_cells(study, tmp_path).outdated == 0


def test_seeds_of_runs_with_other_settings_are_not_averaged(tmp_path):
    study = read_study("redrafting")
    made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.9}, seeds=(1, 2), learning_rate=0.1)
    made_up(study, tmp_path, lambda setup, seed: {"recall@50": 0.1}, seeds=(3,), learning_rate=0.2)
    data = read_cells(study, tmp_path)
    assert data.outdated == 12 and {point.values["recall@50"].mean for point in data.points} == {0.1}


def test_a_run_of_other_data_is_not_measured(workplace, tmp_path):
    runs = runs_of(Launches())
    run_dir = Path(shutil.copytree(runs.ensure(Wanted("UniSRec"), 2026), tmp_path / "run"))
    shutil.copytree(workplace / "dataset", tmp_path / "dataset")
    file = tmp_path / "dataset" / "ml" / "ml.inter"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**settings, "data_path": str(tmp_path / "dataset")}))
    with pytest.raises(UserError, match="is a run of other data than the data set holds now: its fingerprint is"):
        _Loaded(run_dir)


def test_a_length_that_was_not_measured_is_replaced_by_the_nearest(tmp_path):
    study = read_study("redrafting")
    made_up(study, tmp_path, lambda setup, seed: {"recall@5": 0.1, "recall@20": 0.2}, seeds=(1,))
    (grid,) = study_grids(read_cells(study, tmp_path))
    assert "overall Recall@20" in [column.title for column in grid.columns]


def test_names():
    assert (
        name_of("in_sample_recall@50") == "in-sample Recall@50" and name_of("valid_ndcg@10") == "valid overall NDCG@10"
    )
    assert name_of("users_per_second") == "users/s" and name_of("draft_size") == "draft size"


def test_a_study_without_cells_is_not_shown(tmp_path):
    assert study_data(read_study("ablation"), tmp_path, "ml") == []


def test_a_study_says_so_where_a_run_does_not_read_its_axis(workplace, tmp_path, caplog):
    variant = "{label: Popular, model: MostPop, grid: {train: {AXIS: VALUES}}}"
    study = f"title: T\nmeasure: {{quality: {{}}}}\nvariants: [{variant}]\n"
    for axis, values, told in (("learner", "[sgd, adagrad]", 2), ("val_interval", "[~]", 0)):
        caplog.clear()
        written = study.replace("AXIS", axis).replace("VALUES", values)
        assert run_own("axis", written, workplace, tmp_path / axis) == []
        says = f"Study axis: MostPop does not read [{axis}]: to vary it changes nothing."
        assert caplog.messages.count(says) == told
