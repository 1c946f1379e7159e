"""RecBole's atomic files and the property file beside them, in a folder that appears whole or not at all.

dataset/NAME/NAME.inter           user_id:token  item_id:token  timestamp:float, in the order of the source file
dataset/NAME/NAME.item            item_id:token and the item's fields: `token` for a text, `token_seq` for a list,
                                  `float` and `float_seq` where an atomic file was read that has such fields
dataset/NAME/NAME.yaml            the data set's layer of the configuration
dataset/NAME/text_features.npz    only where ready text features were given
"""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as arrow
import yaml

from recbole_specgr.system.errors import UserError

LIST_SEPARATOR = "|"
_BUILT_IN = "ml-100k"  # RecBole reads this name from its own folder, whatever data_path says
_LINES = 1_000_000  # written at once


def target_folder(output: Path, name: str, overwrite: bool) -> Path:
    """`output/name`. Raises UserError for a name that cannot be used, or a folder that exists and may not go."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"--name [{name}] must be letters, digits, [-], [_] and [.], and start with a letter or digit.")
    if name == _BUILT_IN:
        raise UserError(f"--name [{name}] is taken: RecBole reads it from its own folder. Choose another name.")
    folder = output / name
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} exists. Give --overwrite to replace it, or another --name.")
    return folder


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder` that takes its place on success and vanishes on any error.

    Raises:
        OSError: it can't be written. The error names `folder` where the system's names no file (a full disk).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
    ) as parent:
        scratch = Path(parent) / "new"
        scratch.mkdir()
        try:
            yield scratch
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(folder)) from error
        if folder.exists():
            folder.rename(Path(parent) / "old")
        scratch.rename(folder)


def write_interactions(path: Path, frame: pd.DataFrame) -> None:
    """`frame` has the columns user_id and item_id (categories of strings) and timestamp (int64)."""
    columns = [_quoted(frame[field]) for field in ("user_id", "item_id")]
    columns.append(pyarrow.array(frame["timestamp"].to_numpy()))
    with open(path, "wb") as file:
        file.write(b"user_id:token\titem_id:token\ttimestamp:float\n")
        for start in range(0, len(frame), _LINES):
            cells = [column.slice(start, _LINES).cast(pyarrow.string()) for column in columns]
            lines = arrow.binary_join_element_wise(arrow.binary_join_element_wise(*cells, "\t"), "", "\n")
            _, starts, text = lines.buffers()  # an Arrow column of texts is one text and where each starts
            file.write(text.slice(0, int(np.frombuffer(starts, dtype=np.int32)[len(lines)])))


def write_items(path: Path, items: pd.DataFrame, kinds: Mapping[str, str]) -> None:
    """Write the items.

    Args:
        items: indexed by item_id; a cell of a field that is a sequence is a list of texts, of any other a text.
        kinds: field -> RecBole's kind of it; a field that is not there is a `token`.
    """
    frame = items.reset_index(names="item_id")
    for field, kind in kinds.items():
        if kind.endswith("_seq"):
            frame[field] = frame[field].map(LIST_SEPARATOR.join)
    header = [f"{field}:{kinds.get(field, 'token')}" for field in frame]
    frame.to_csv(path, sep="\t", index=False, header=header, encoding="utf-8", lineterminator="\n")


def write_properties(path: Path, properties: dict[str, Any], found: str) -> None:
    """A property file that starts with what was found, as a comment."""
    head = "\n".join(f"# {line}".rstrip() for line in found.splitlines())
    text = yaml.safe_dump(properties, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    path.write_text(head + "\n" + text, encoding="utf-8")


def base_properties(fields: Sequence[str]) -> dict[str, Any]:
    """The settings that every data set written here needs; `fields` are those of the item file."""
    return {
        "USER_ID_FIELD": "user_id",
        "ITEM_ID_FIELD": "item_id",
        "TIME_FIELD": "timestamp",
        "field_separator": "\t",
        "seq_separator": LIST_SEPARATOR,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", *fields]},
    }


def _quoted(column: pd.Series) -> pyarrow.DictionaryArray:
    """The column, with those of its texts in quotes that hold quotes themselves, as a reader of CSV expects."""
    texts = ['"' + text.replace('"', '""') + '"' if '"' in text else text for text in column.cat.categories]
    codes = pyarrow.array(column.cat.codes.to_numpy().astype(np.int32))
    return pyarrow.DictionaryArray.from_arrays(codes, pyarrow.array(texts, pyarrow.string()))
