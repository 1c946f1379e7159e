"""Atomic files read by Arrow: the columns that RecBole would read, in a tenth of its time and memory.

RecBole reads with the part of pandas that is written in Python, a line at a time, and makes an object of every cell.
Here ids are numbers into a list of the distinct ones from the start. What this does not read as RecBole would is left
to RecBole: other encodings, sequences, and files whose rows are uneven.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.csv
from recbole.utils import FeatureType

from recbole_specgr.data.ids import MISSING

_BLOCK = 1 << 24  # bytes that are parsed at once
_TYPES = {
    FeatureType.TOKEN: pyarrow.string(),
    FeatureType.FLOAT: pyarrow.float64(),
}


def column_types(path: Path, separator: str, encoding: str) -> dict[str, FeatureType] | None:
    """The columns that the first line names, `user_id:token` and so on, with their types; None where it is not a plain
    one, which RecBole then complains of, or reads."""
    if encoding != "utf-8" or len(separator) != 1:
        return None
    try:
        with open(path, encoding=encoding) as file:
            names = file.readline().rstrip("\n").split(separator)
        types = {name: FeatureType(name.split(":")[1]) for name in names}
    except (IndexError, UnicodeDecodeError, ValueError):
        return None
    plain = len(types) == len(names) and all(name.count(":") == 1 and '"' not in name for name in names)
    return types if plain else None


def read_columns(path: Path, separator: str, types: Mapping[str, FeatureType]) -> pd.DataFrame | None:
    """Columns of an atomic file, by their names in its first line.

    Args:
        types: those to read, `TOKEN` or `FLOAT`.

    Returns:
        Tokens as categories in the order in which they occur, numbers as float64, NaN for what pandas reads as no
        value. None where Arrow can't read the file.
    """
    convert = pyarrow.csv.ConvertOptions(
        include_columns=list(types),
        column_types={name: _TYPES[kind] for name, kind in types.items()},
        null_values=sorted(MISSING),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    parse = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    try:
        table = pyarrow.csv.read_csv(path, pyarrow.csv.ReadOptions(block_size=_BLOCK), parse, convert)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError):
        return None
    for place, name in enumerate(table.column_names):  # one list of tokens a column is faster than one a block
        if types[name] == FeatureType.TOKEN:
            table = table.set_column(place, name, table.column(place).dictionary_encode())
    frame = table.to_pandas(split_blocks=True, self_destruct=True)
    del table
    pyarrow.default_memory_pool().release_unused()
    return frame
