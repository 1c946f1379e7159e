"""docs/serving.md, followed from its first line, and the example of a launch, both on MovieLens 100k."""

import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from recbole_specgr.commands.command_line import main
from recbole_specgr.serving import Recommender

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", GUIDE, re.DOTALL)
QUICK = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "train_batch_size": 256,
    "contrastive_batch_size": 256,
    "learning_rate": 0.01,
    "epochs": 2,
    "stages": {"finetune": {"epochs": 1}},
    "eval_step": 0,
    "tune": None,
    "draft_size": 30,
    "accept_threshold": -20.0,  # whatever is drafted: so little training makes no verifier
    "tokenizer": {"method": "rqkmeans"},
    "val_interval": {"timestamp": "[892000000,inf)"},  # the last weeks
    "use_gpu": False,
    "show_progress": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the guide's reader is: the settings of its one training make it short, and nothing else is changed."""
    folder = tmp_path_factory.mktemp("guide")
    settings = folder / "properties" / "tuned" / "ml-100k" / "SpecGRPP.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(yaml.safe_dump(QUICK))
    return folder


def run_shell(block: str) -> None:
    """A block line by line: our own programs in this process, which has imported them already, the rest in bash."""
    for command in re.findall(r"cat > [^\n]*\n(?:[^\n]*\n)*?END\n|[^\n]+\n", block):
        words = shlex.split(command) if "<<" not in command else []
        if words[:2] == ["python", "run_recbole.py"]:
            assert main(words[2:]) == 0, command
        elif words[:1] == ["recbole-specgr"]:
            assert main(words[1:]) == 0, command
        else:
            subprocess.run(["bash", "-e", "-c", command], check=True)


def test_every_block_of_the_guide_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    scope: dict = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(block, scope)
        else:
            run_shell(block)
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
