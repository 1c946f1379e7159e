"""What must not be left, and what is said where a folder can't be written."""

from __future__ import annotations

import pytest

from recbole_specgr.commands import command_line
from recbole_specgr.runs.checkpoint import write_checkpoint
from recbole_specgr.runs.folder import LAST, read_settings
from recbole_specgr.runs.record import RESULT, read_json
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write, remove_unfinished


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    writing = []
    for name in ("ranks.npz", "last.pth", "config.yaml", "result"):
        (tmp_path / name).touch()
        with atomic_write(tmp_path / name) as temporary:
            writing.append(temporary.name)
    for name in [*writing, ".gitignore", ".hidden.txt", ".ipynb_checkpoints"]:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    kept = {"ranks.npz", "last.pth", "config.yaml", "result", ".gitignore", ".hidden.txt", ".ipynb_checkpoints"}
    assert {path.name for path in tmp_path.iterdir()} == kept
    remove_unfinished(tmp_path / "gone")


@pytest.mark.parametrize(("there", "advice"), [(True, "go on with --resume="), (False, "then train again.")])
def test_a_full_disk_advises_to_resume_only_what_stays(tmp_path, monkeypatch, there, advice):
    if there:
        (tmp_path / LAST).touch()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        write_checkpoint(tmp_path / "train.pth", {})
    assert advice in str(caught.value)


@pytest.mark.parametrize("place", ["/proc/x", "file/run", "file"])
@pytest.mark.parametrize("setting", ["run_dir", "runs_path"])
def test_a_folder_that_can_not_be_written_is_one_sentence(tiny_dataset, tmp_path, capsys, setting, place):
    (tmp_path / "file").touch()
    words = {**tiny_dataset, setting: place if place.startswith("/") else str(tmp_path / place)}
    there = sorted(tmp_path.rglob("*"))
    assert command_line.main(["--model=MostPop", "--dataset=tiny", *(f"--{k}={v}" for k, v in words.items())]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and f"[{setting}: {words[setting]}]" in error and "Traceback" not in error
    assert sorted(tmp_path.rglob("*")) == there


def test_an_error_of_a_file_is_a_sentence(capsys):
    def read() -> int:
        with open("/proc/x/y") as file:
            return len(file.read())

    assert command_line.exit_status(read) == 2
    assert capsys.readouterr().err.startswith("error: /proc/x/y can't be read or written: No such file or directory.\n")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError("8000 requested and 3000 written")], ids=["disk", "numpy"]
)
def test_a_file_that_does_not_fit_on_the_disk_is_named(tmp_path, capsys, error):
    def write() -> int:
        with atomic_write(tmp_path / "lists.csv") as temporary:
            temporary.touch()
            raise error

    assert command_line.exit_status(write) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'lists.csv'} can't be read or written: ")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_named_while_another_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), atomic_write(tmp_path / "copy"):
        (tmp_path / "gone").read_bytes()


def test_nan_is_no_json(tmp_path):
    (tmp_path / RESULT).write_text('{"schema": NaN}')
    with pytest.raises(UserError, match="NaN is not a number that JSON has"):
        read_json(tmp_path / RESULT)


@pytest.mark.parametrize("record", ["[1]", "{}", '{"training": 5}'])
def test_settings_are_read_beside_any_record(tmp_path, record):
    (tmp_path / "config.yaml").write_text("model: SASRec\nbase_model: SASRec\ndataset: tiny\nstages: {train: {}}\n")
    (tmp_path / RESULT).write_text(record)
    assert read_settings(tmp_path)["stages"] == {"train": {}}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden_size": 9, "n_heads": 2}, "[SASRec] can't be built with these settings: The hidden size (9)"),
        (
            {"val_interval": "{x: '[1,2]'}"},
            "RecBole can't read the data set [tiny] with these settings: Field [x] not defined",
        ),
        ({"alias_of_user_id": "[x]"}, "RecBole can't read the data set [tiny] with these settings: there is no [x]"),
        ({"field_separator": "x"}, "RecBole can't read the data set [tiny] with these settings: "),
        ({"tune": "{epochs: [1, 2]}"}, "[tune.epochs]: SASRec has no setting of this name that can change"),
    ],
)
def test_what_fails_after_the_settings_is_one_sentence_and_leaves_nothing(
    tiny_dataset, tmp_path, capsys, settings, says
):
    there = sorted(tmp_path.rglob("*"))
    words = {**tiny_dataset, **settings}
    assert command_line.main(["--model=SASRec", "--dataset=tiny", *(f"--{k}={v}" for k, v in words.items())]) == 2
    error = capsys.readouterr().err
    assert f"error: {says}" in error
    assert "Traceback" not in error and sorted(tmp_path.rglob("*")) == there
