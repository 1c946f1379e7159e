"""docs/serving.md, followed from its first line, and the example of a launch, both on MovieLens 100k."""

import re
import runpy
from pathlib import Path

import pandas as pd
import pytest
from pages import SHORT_SPECGR, run_block, write_tuned

from recbole_specgr.commands.command_line import main
from recbole_specgr.serving import Recommender

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the guide's reader is: the settings of its one training make it short, and nothing else is changed."""
    folder = tmp_path_factory.mktemp("guide")
    write_tuned(folder, "ml-100k", "SpecGRPP", SHORT_SPECGR)
    return folder


def test_every_block_of_the_guide_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    scope: dict = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, scope)
        else:
            run_block(block)
    printed = capsys.readouterr().out
    assert "n1  The Last Comet  [new]" in printed and "drafter: score" in printed and "digit 1: code" in printed
    assert "2 items added, kept in my_run/catalogue_changes.npz" in printed and "User 796: " in printed
    lists = pd.read_csv("lists.csv")
    assert lists.groupby("user_id").size().to_dict() == {"ann": 20, "bob": 20}
    tokens = Recommender.load("their_run").catalogue.item_tokens.tolist()
    assert "n1" in tokens and not {"n2", "n3", "n4"} & set(tokens)
    assert scope["items"].shape[1] == 5


def test_every_option_of_the_guide_is_one_that_the_commands_have(capsys):
    with pytest.raises(SystemExit):
        main(["recommend", "--help"])
    with pytest.raises(SystemExit):
        main(["add-items", "--help"])
    helps = capsys.readouterr().out
    named = {option for option in re.findall(r"(--[a-z][\w-]*)", GUIDE) if option not in ("--model", "--run_dir")}
    assert {option for option in named if option not in helps} <= {"--user", "--to", "--users"}


def test_the_example_launches_ten_films(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["launch_new_films.py", "--seed=3"])
    scope = runpy.run_path(str(ROOT / "examples" / "launch_new_films.py"))
    table = scope["table"]
    assert sorted(table.film) == sorted(scope["NEW_FILMS"]) and len(table) == 10
    assert table.lists.sum() > 0
    recommender = Recommender.load("launch_new_films/run")
    new = scope["new_films"]["item_id:token"].tolist()
    assert recommender.catalogue.item_tokens[-10:].tolist() == new
    histories = scope["histories"]
    assert not histories.explode().isin(new).any()  # the model was trained without them
    assert not set(new) & set(
        pd.read_csv("launch_new_films/dataset/ml-100k/ml-100k.item", sep="\t", dtype=str).iloc[:, 0]
    )
    for film, count in zip(new, table.lists):
        assert (scope["lists"].item_id == film).sum() == count
    assert "together: " in capsys.readouterr().out
