"""Digests of the files that settings name: two files of one name, and one that was written anew, are told apart."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_specgr.settings.presets import look_up
from recbole_specgr.system.fingerprint import content_key

# Among a run's settings: the dotted name of a setting -> digest, where it names files or a class of the user's own.
FILE_DIGESTS = "file_digests"

# Settings that may name a file or a folder -> which files of a folder count.
_OF_A_FOLDER = {
    "text_encoder": "**/*",
    "longformer": "**/*",
    "semantic_ids": "semantic_ids.npz",
    "pretrained": "[!l]*.pth",  # not last.pth, from which an interrupted training goes on
    "tokenizer.codebooks": "",
}
_NO_INPUT = {"dataset_save_path", "dataloaders_save_path"}  # what they hold follows from the data set


def naming_files(settings: Mapping[str, Any]) -> list[str]:
    """The dotted names of the settings that may name files: those that are known to, and all that hold the whole path
    of one. Runs whose parameters are taken over are not among them, for they are told apart by their folders."""
    known = [name for name in _OF_A_FOLDER if isinstance(look_up(settings, name), str)]
    others = settings.keys() - _OF_A_FOLDER.keys() - _NO_INPUT
    whole = [name for name in others if isinstance(settings[name], str) and Path(settings[name]).is_absolute()]
    return known + sorted(name for name in whole if Path(settings[name]).is_file())


def places(value: str, data_folder: Path) -> list[Path]:
    """Where the file that a setting names may be, the first one first. A bare name is looked for beside the data before
    it is looked for in the working directory: the importer writes such names, and means what it wrote. `./NAME` is in
    the working directory alone."""
    path = Path(value)
    return [path] if path.is_absolute() or value.startswith("./") else [data_folder / value, path]


def file_digest(name: str, value: str, data_folder: Path) -> str | None:
    """16 hexadecimal digits, of the content of what a setting names; None where it names no file.

    Args:
        name: the setting's dotted name.
        value: a path, looked for in `places`; or no path at all.
    """
    for place in places(value, data_folder):
        if place.is_file():
            beside = place.with_suffix(".items.txt")  # the items of an .npy
            return _digest([place, beside] if place.suffix == ".npy" and beside.is_file() else [place], place.parent)
        pattern = _OF_A_FOLDER.get(name)
        if pattern and place.is_dir():
            files = sorted(path for path in place.glob(pattern) if path.is_file())
            return _digest(files, place) if files else None
    return None


def _digest(files: list[Path], folder: Path) -> str:
    """Of several files, their names count too; of one, only what is in it."""
    found = [(str(path.relative_to(folder)), _of_file(str(path.resolve()), *_state(path))) for path in files]
    return found[0][1] if len(found) == 1 else content_key(found)[:16]


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@functools.cache
def _of_file(path: str, size: int, modified: int) -> str:
    """Read once a process, as long as size and time of the file stay the same."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()[:16]
