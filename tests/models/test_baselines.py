"""The baseline files: what they say about the models, the published numbers, and the page on how to add one."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from pages import blocks, write_files

from recbole_specgr.leaderboard.archive import read_run, run_folders
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.named_classes import split_class
from recbole_specgr.settings.published import Published
from recbole_specgr.settings.registry import resolve
from recbole_specgr.system.errors import UserError

FILES = sorted((ROOT / "baselines").glob("*.yaml"))
GAMES, OFFICE = "Amazon2023_Video_Games", "Amazon2023_Office_Products"
PHONES = "Amazon2023_Cell_Phones_and_Accessories"
SEEN_SHARE = {GAMES: 0.397, PHONES: 0.318}  # of the test rows, from the head of the paper's Table 2


@pytest.fixture
def page() -> str:
    return (ROOT / "docs" / "add_a_baseline.md").read_text(encoding="utf-8")


def test_the_page_works_as_it_is_written(page, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")  # the table shows the group where there is room
    write_files(page, tmp_path)
    (commands,) = blocks(page, "sh")
    shown = ""
    for command in commands.splitlines():
        python, script, *words = shlex.split(command)
        assert python == "python"
        done = subprocess.run(
            [sys.executable, ROOT / script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        shown = done.stdout
    assert "Mean of items" in shown and "ID" in shown
    (record,) = (read_run(folder).record for folder in run_folders(tmp_path / "runs", "ml-100k"))
    assert (record["model"], record["display_name"], record["group"]) == ("MeanItem", "Mean of items", "ID")


def test_the_page_is_short_and_is_the_example_that_comes_with_the_package(page, tmp_path):
    assert page.count("\n") < 40
    for path in write_files(page, tmp_path):
        assert (ROOT / path).read_text(encoding="utf-8") == (tmp_path / path).read_text(encoding="utf-8")


def test_metadata_is_no_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    file = tmp_path / "baselines" / "Mine.yaml"
    published = "{Games: {by_time: [{source: me, recall@10: 0.1}]}}"
    file.write_text(f"base: SASRec\ndisplay_name: My own\ngroup: ID\npublished: {published}\nn_layers: 1\n")
    entry = resolve("Mine")
    assert (entry.display_name, entry.group) == ("My own", "ID")
    assert entry.published == (Published("Games", "by_time", "me", {"recall@10": 0.1}),)
    assert entry.baseline == {"n_layers": 1}
    config = Config("Mine", config_dict={"use_gpu": False})
    assert (config["display_name"], config["group"]) == ("My own", "ID")
    file.unlink()  # a run knows its name without the file
    again = Config.from_dict(config.to_dict())
    assert (again["display_name"], again["group"]) == ("My own", "ID")
    plain = Config("GRU4Rec", config_dict={"use_gpu": False})
    assert (plain["display_name"], plain["group"]) == ("GRU4Rec", None)


@pytest.mark.parametrize(
    "line",
    [
        "group: best",
        "published: 0.1",
        "published: {Games: 0.1}",
        "published: {Games: {recall@10: 0.1}}",
        "published: {Games: {by_time: [{recall@10: 0.1}]}}",
        "published: {Games: {by_time: [{source: me}]}}",
        "published: {Games: {by_time: [{source: me, recall@10: high}]}}",
        "published: {Games: {by_time: [{source: me, recal@10: 0.1}]}}",
        "published: {Games: {by_time: [{source: me, Recall@10: 0.1}]}}",
        "published: {Games: {by_time: [{source: me, recall@10: 20.0}]}}",
        "published: {Games: {by_tme: [{source: me, recall@10: 0.1}]}}",
        "published: TIGR",
        "published: TIGER_decoder",  # which takes them from TIGER itself
    ],
)
def test_wrong_metadata_is_explained(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Mine.yaml").write_text(f"base: SASRec\n{line}\n")
    with pytest.raises(UserError, match=rf"{line.split(':')[0]}.*Mine\.yaml"):
        resolve("Mine")


def test_a_model_built_otherwise_stands_beside_what_is_published_of_the_model():
    theirs, taken = resolve("TIGER").published, resolve("TIGER_decoder").published
    assert len(theirs) == len(taken) > 0
    for entry, same in zip(theirs, taken):
        assert same.source == f"TIGER: {entry.source}"
        assert (same.dataset, same.split, same.results) == (entry.dataset, entry.split, entry.results)


PUBLISHED = [file for file in FILES if "published" in yaml.safe_load(file.read_text())]


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_numbers_are_consistent(file):
    """Longer lists find more, a place counts less than a hit, and the two parts of the test rows give the whole."""
    for entry in resolve(file.stem).published:
        assert split_class(entry.split).name == entry.split and len(entry.source) > 10
        lengths = sorted({int(key.partition("@")[2]) for key in entry.results})
        for metric in ("recall", "ndcg"):
            found = [entry.results[f"{metric}@{k}"] for k in lengths if f"{metric}@{k}" in entry.results]
            assert found and found == sorted(set(found))
        assert all(entry.results[f"ndcg@{k}"] < entry.results[f"recall@{k}"] for k in lengths)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_the_papers_numbers_are_consistent(file):
    """The paper of SpecGR has three data sets in Table 1, and in Table 2 the parts of two of them."""
    paper = {entry.dataset: entry.results for entry in resolve(file.stem).published if entry.split == "by_time"}
    in_table_1 = not file.stem.endswith("Ensemble")  # these are in Table A5, for lists of 50
    assert set(paper) in (set(), {GAMES, OFFICE, PHONES} if in_table_1 else {GAMES})
    for data, table in paper.items():
        assert all(
            f"{metric}@{k}" in table for metric in ("recall", "ndcg") for k in ((10, 50) if in_table_1 else (50,))
        )
        for key in ("recall@50", "ndcg@50"):
            if f"in_sample_{key}" in table and file.stem != "ScoreEnsemble":  # whose parts are not its whole there
                share = SEEN_SHARE[data]
                whole = share * table[f"in_sample_{key}"] + (1 - share) * table.get(f"unseen_{key}", 0)
                assert whole == pytest.approx(table[key], abs=2e-4)
