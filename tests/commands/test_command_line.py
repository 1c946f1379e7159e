"""`recbole-specgr COMMAND`: every command by each of its doors, and what a mistake says."""

import subprocess
import sys

import pytest
from conftest import ROOT

from recbole_specgr.commands.command_line import COMMANDS, main
from recbole_specgr.studies.trained import RunFailed, TrainedRuns

DOORS = {
    "run_recbole.py": "train",
    "run_hyper.py": "search",
    "scripts/import_dataset.py": "import-data",
    "scripts/prepare_amazon.py": "prepare-amazon",
    "scripts/leaderboard.py": "leaderboard",
    "scripts/reproduce.py": "reproduce",
    "scripts/run_table.py": "table",
    "scripts/study.py": "study",
}


def help_of(command: str, capsys) -> str:
    """What `--help` prints; argparse ends the process, which pytest sees as SystemExit."""
    try:
        status = main([command, "--help"])
    except SystemExit as ended:
        status = ended.code
    assert status == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command, capsys):
    shown = help_of(command, capsys)
    assert shown.startswith(f"usage: recbole-specgr {command} ")
    examples = shown.partition("\nexamples:\n")[2].splitlines()
    assert examples and any(line.startswith(f"  recbole-specgr {command} ") for line in examples)


def test_every_file_of_a_command_is_one_that_is_listed():
    files = {path.stem for path in (ROOT / "recbole_specgr" / "commands").glob("*.py")}
    shared = {"__init__", "command_line", "finished_run", "run_settings", "seeds", "usage"}
    assert files - shared == {command.replace("-", "_") for command in COMMANDS}


def test_the_list_of_commands_is_what_no_words_and_help_print(capsys):
    assert main([]) == 2
    listed = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == listed
    assert all(f"  {command} " in listed for command in COMMANDS)


def test_an_unknown_command_is_named_with_the_nearest(capsys):
    assert main(["recomend", "my_run"]) == 2
    error = capsys.readouterr().err
    assert "There is no command [recomend]. Did you mean [recommend]?" in error and "Traceback" not in error


@pytest.mark.parametrize("rest", [["--interactions", "ratings.csv", "--name", "mine"], ["my_export"], []])
def test_import_alone_may_mean_either(rest, capsys):
    assert main(["import", *rest]) == 2
    assert "no command [import]. Did you mean [import-data] or [import-run]?" in capsys.readouterr().err


@pytest.mark.parametrize(("door", "command"), DOORS.items())
def test_a_script_of_the_checkout_is_a_command(door, command, tmp_path):
    """Started in another folder, it finds the package beside it."""
    words = [sys.executable, str(ROOT / door), "--help"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python {door} ")
    assert f"  python {door} " in done.stdout.partition("\nexamples:\n")[2]


def test_the_package_is_the_command(tmp_path):
    words = [sys.executable, "-m", "recbole_specgr", "show", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: recbole-specgr show "), done.stderr


@pytest.mark.parametrize(
    ("words", "expected"), [(["--seed=7", "--seeds=2"], [7, 8]), (["--seed", "7"], [7]), ([], [2026])]
)
@pytest.mark.parametrize("command", [["table", "--rows", "MostPop"], ["study", "ablation"]])
def test_a_table_and_a_study_are_made_with_the_seeds_that_are_named(
    command, words, expected, tiny_dataset, tmp_path, monkeypatch, capsys
):
    asked: list[int] = []

    def ensure(self, wanted, seed):
        asked.append(seed)
        raise RunFailed("it is not to be trained")

    monkeypatch.setattr(TrainedRuns, "ensure", ensure)
    places = [f"--leaderboards={tmp_path}/boards", f"--data_path={tiny_dataset['data_path']}"]
    assert main([*command, "--dataset=tiny", *words, *places]) == 1
    assert list(dict.fromkeys(asked)) == expected
    told = capsys.readouterr().err
    assert all(f"seed {seed}: it is not to be trained" in told for seed in expected)


@pytest.mark.parametrize("words", [["--model=TIGER"], ["--config_files", "own.yaml"]])
@pytest.mark.parametrize("command", [["table"], ["study", "ablation"], ["study", "by_age"]])
def test_a_table_and_a_study_refuse_words_that_would_have_no_effect(command, words, monkeypatch, capsys):
    monkeypatch.setattr(TrainedRuns, "ensure", lambda *_: pytest.fail("it is not to be trained"))
    assert main([*command, "--dataset=tiny", *words]) == 2
    told = capsys.readouterr().err
    assert f"{command[0]} does not take [{' '.join(words)}]" in told
