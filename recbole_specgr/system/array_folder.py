"""Named arrays and plain facts in a folder, each array in a file of its own, mapped into memory when it is read.

Processes that read the same folder share its pages. A page that one of them writes to becomes its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.fingerprint import content_key

_FACTS = "facts.txt"  # a fingerprint, and JSON. Written last: without it the folder is not finished


def write_arrays(folder: Path, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write `facts`, a mapping for JSON, and `arrays` of any types but objects."""
    (folder / _FACTS).unlink(missing_ok=True)
    index = {}
    for number, (name, array) in enumerate(arrays.items()):
        with atomic_write(folder / f"{number}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
        index[name] = {"file": f"{number}.npy", "dtype": array.dtype.str, "shape": list(array.shape)}
    with atomic_write(folder / _FACTS) as temporary:
        text = json.dumps({"facts": facts, "arrays": index})
        temporary.write_text(f"{content_key(text)}\n{text}", encoding="utf-8")


def read_arrays(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The facts and the arrays that `write_arrays` took; None, with a warning, where they can't be read, and without
    one where there is no finished folder."""
    if not (folder / _FACTS).is_file():
        return None
    try:
        key, _, text = (folder / _FACTS).read_text(encoding="utf-8").partition("\n")
        if key != content_key(text):
            raise ValueError(f"{_FACTS} is not as it was written")
        content = json.loads(text)
        arrays = {name: _mapped(folder, **entry) for name, entry in content["arrays"].items()}
        facts: dict[str, Any] = content["facts"]
        return facts, arrays
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        getLogger().warning(f"{folder} is damaged ({error}); it is made again.")
        return None


def _mapped(folder: Path, file: str, dtype: str, shape: list[int]) -> np.ndarray:
    array: np.ndarray = np.load(folder / file, mmap_mode="c" if 0 not in shape else None, allow_pickle=False)
    if array.dtype.str != dtype or list(array.shape) != shape:
        raise ValueError(f"{file} holds {array.dtype.str} {list(array.shape)}, not {dtype} {shape}")
    return array
