"""Arrays and plain facts in one .npz file: written whole or not at all, read without pickle, refused where broken."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write


def pack(texts: Sequence[str]) -> np.ndarray:
    """Texts as bytes, uint8 [n]: an array of texts would give each the room of the longest."""
    data = "".join(f"{text}\0" for text in texts).encode("utf-8", "surrogatepass")
    return np.frombuffer(data, dtype=np.uint8)


def unpack(data: np.ndarray) -> list[str]:
    """The texts that `pack` took."""
    return data.tobytes().decode("utf-8", "surrogatepass").split("\0")[:-1]


def write_npz(path: str | os.PathLike, facts: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Write `arrays` and `facts`, a mapping for JSON that has the number of the `format`."""
    with atomic_write(path) as temporary:
        np.savez(temporary, facts=pack([json.dumps(facts)]), **arrays)


def read_npz(path: str | os.PathLike, known_format: int, what: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The facts and the arrays that `write_npz` took.

    Args:
        known_format: the only one that can be read.
        what: what the file should hold, for messages.

    Returns:
        Both mappings raise UserError, too, for a name that is not in the file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the file is cut short or something else, or its format is another.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        facts = json.loads(unpack(arrays.pop("facts"))[0])
        found = facts["format"]
    except Exception as error:  # a cut zip archive fails with many types
        raise UserError(
            f"{path} can't be read as {what} ({type(error).__name__}: {error}): it is cut short "
            f"({path.stat().st_size:,} bytes), damaged, or of another program."
        ) from error
    if found != known_format:
        raise UserError(
            f"{path} is {what} in format {found}, written by recbole-specgr {facts.get('version', '?')}; this version "
            f"reads format {known_format}. Use that version, or train again."
        )
    return _Content(facts, path, what), _Content(arrays, path, what)


class _Content(dict[str, Any]):
    """What a file holds; a name that it should hold and does not is an error that names the file."""

    def __init__(self, content: Mapping[str, Any], path: Path, what: str) -> None:
        super().__init__(content)
        self._path, self._what = path, what

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self._path} can't be read as {self._what}: it has no [{name}]. It was damaged or changed.")
