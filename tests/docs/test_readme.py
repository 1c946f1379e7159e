"""README.md: it is short, its commands run, and its numbers are those of the leaderboards."""

import csv
import json
import random
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from pages import SHORT_SPECGR, SHORT_TIGER, our_words, run_block, write_tuned

from recbole_specgr.commands.command_line import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHARED = ("epochs", "train_batch_size", "val_interval", "use_gpu", "show_progress")
SHORT_SASREC = {**{key: SHORT_TIGER[key] for key in SHARED}, "hidden_size": 16, "inner_size": 16}
SMALL_IDS = {"tokenizer": {"method": "rqkmeans", "codebook_size": 8}}
NEED_A_MACHINE = ("git clone", "make demo", "source .venv")  # `make demo` has a test of its own


def test_it_is_900_words_or_fewer():
    assert len(README.split()) <= 900


def small_shop(folder: Path) -> None:
    """The files that the README's reader has: interactions and items of their own, new films, and histories."""
    rng = random.Random(3)
    rows = [f"u{user},i{item}" for user in range(60) for item in rng.sample(range(60), 10)]
    rng.shuffle(rows)
    with (folder / "ratings.csv").open("w") as file:
        print(
            "user_id,item_id,timestamp",
            *(f"{row},{160_000_000 + n}" for n, row in enumerate(rows)),
            sep="\n",
            file=file,
        )
    with (folder / "items.jsonl").open("w") as file:
        for item in range(60):
            kind = ("tea", "coffee", "cocoa")[item % 3]
            print(json.dumps({"item_id": f"i{item}", "title": f"{kind} no. {item} of farm {item % 7}"}), file=file)
    (folder / "new_films.csv").write_text("item_id,movie_title,release_year,class\nn1,The Last Comet,1998,Sci-Fi\n")
    (folder / "histories.csv").write_text("user_id,history\nann,50 181 n1\nbob,95 1\n")


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Path:
    """The folder of a reader whose trainings take seconds."""
    folder = tmp_path_factory.mktemp("readme")
    small_shop(folder)
    shortest = {key: value for key, value in SHORT_SPECGR.items() if key != "val_interval"}  # these have few rows
    write_tuned(folder, "ml-100k", "SpecGRPP", SHORT_SPECGR)
    write_tuned(folder, "ml-100k", "SASRec", SHORT_SASREC)
    write_tuned(folder, "my_data", "SASRec", {"epochs": 2, "use_gpu": False, "show_progress": False})
    write_tuned(folder, "my_data", "SpecGRPP", {**shortest, **SMALL_IDS})
    return folder


def test_every_block_runs(reader, monkeypatch, capsys):
    monkeypatch.chdir(reader)
    for language, block in re.findall(r"```(bash|python|yaml)\n(.*?)```", README, re.DOTALL):
        if language == "python":
            exec(block, {})
        elif language == "yaml":
            first, _, text = block.partition("\n")
            file = Path(first.removeprefix("# "))
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
        else:
            lines = [line for line in block.splitlines(keepends=True) if not line.startswith(NEED_A_MACHINE)]
            run_block(re.sub(r"--epochs=\d+", "--epochs=1", "".join(lines)))
    printed = capsys.readouterr().out
    assert "Popular last week" in printed or (reader / "runs/ml-100k/LastWeek").is_dir()
    with (reader / "lists.csv").open() as file:
        assert sorted(row["user_id"] for row in csv.DictReader(file)) == ["ann"] * 20 + ["bob"] * 20
    (table,) = re.findall(r"^my_data, .*", printed, re.MULTILINE)
    assert table


def test_the_demo_ends_in_the_small_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tuned(tmp_path, "ml-100k", "TIGER", SHORT_TIGER)
    write_tuned(tmp_path, "ml-100k", "SpecGRPP", SHORT_SPECGR)
    asked = ["make", "-n", "-o", ".venv/installed", "-C", str(ROOT), "--no-print-directory", "demo"]
    commands = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(commands) == 3
    for command in commands:
        words = our_words(shlex.split(command.replace(".venv/bin/python", "python")))
        assert words is not None and main(words) == 0
    table = capsys.readouterr().out.split("Recall@50 on ml-100k")[-1]
    assert all(name in table for name in ("TIGER", "SpecGR++", "A random list", "unseen"))


def test_its_numbers_are_those_of_the_leaderboards():
    """The NDCG@50 of each row, by its model, overall, in-sample and unseen, of the boards of both data sets whose lists
    leave out the history; a dash where one has no such row."""
    rows = re.findall(r"^\| `(\w+)`(?: ‡)? \| ((?:(?:\**\d\.\d{4}\**|-) \| ?){6})", README, re.MULTILINE)
    assert len(rows) == 9
    boards = []
    for dataset in ("ifdb_played", "amazon_beauty_2014"):
        for folder in (ROOT / "leaderboards" / dataset / "results").iterdir():
            record = json.loads(next(folder.glob("*.json")).read_text())
            if not record["protocol"].get("repeatable", True):
                table = ROOT / "leaderboards" / dataset / "tables" / f"{folder.name}.csv"
                boards.append({row["model"]: row for row in csv.DictReader(table.read_text().splitlines())})
    assert len(boards) == 2
    for name, cells in rows:
        expected = [
            f"{float(board[name][f'{part}ndcg@50']):.4f}" if name in board else "-"
            for board in boards
            for part in ("", "in_sample_", "unseen_")
        ]
        assert re.findall(r"\d\.\d{4}|-", cells) == expected, name
