"""What is said of a folder that was given as a run and is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recbole_specgr.runs.folder import read_settings, why_no_run


def begun(folder: Path, at: int) -> Path:
    """A folder that looks like a run with a part, begun at a time in seconds."""
    for run in (folder, folder / "drafter"):
        run.mkdir(parents=True)
        (run / "config.yaml").write_text("model: TIGER\n")
        os.utime(run / "config.yaml", (at, at))
    return folder


@pytest.mark.parametrize("above", ["runs/tiny/TIGER", "runs/tiny", "runs"])
def test_a_folder_of_runs_names_the_newest(above, tmp_path):
    run = begun(tmp_path / "runs/tiny/TIGER/b", at=100)
    assert why_no_run(tmp_path / above) == f"{tmp_path / above} is no run, but there is one in it: {run}"
    newest = begun(tmp_path / "runs/tiny/TIGER/a", at=300)
    begun(tmp_path / "runs/tiny/TIGER/c", at=200)
    with pytest.raises(FileNotFoundError, match=rf"there are 3 in it. Name one of them; the newest is {newest}$"):
        read_settings(tmp_path / above)
    assert why_no_run(run) is None


def test_what_is_not_there_and_what_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for name, said in (
        ("file", "is no run but a file. Name the folder of a run."),
        ("nothing", "is no run: there is no such folder."),
        (".", f"is no run: there is no {tmp_path / 'config.yaml'}."),
    ):
        assert why_no_run(tmp_path / name) == f"{tmp_path / name} {said}"
