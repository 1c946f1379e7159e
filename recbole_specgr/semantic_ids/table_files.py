"""Tables of codes in plain files: .csv, .npz and .npy, made here or elsewhere (the formats: docs/semantic_ids.md)."""

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from recbole_specgr.data.ids import read_id_lines, read_ids
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.semantic_ids.identification import identification_size
from recbole_specgr.system.delimited import read_records, separator_of
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

IDENTIFICATION = "identification"
LARGEST_CODE = 1_000_000  # a larger number is something else than a code


def read_semantic_ids(path: Path, item_tokens: np.ndarray, seen: np.ndarray, reserve: int | None = None) -> SemanticIds:
    """The ids of a data set's items from a file that `SemanticIds.save` wrote, or from a plain table of codes.

    Args:
        path: .npz, .npy or .csv.
        item_tokens: str [n_items], the padding item first.
        seen: bool [n_items].
        reserve: see `SemanticIds.from_codes`; not used where the file says how many identification digits there are.

    Raises:
        UserError: the file is no such table, lacks some of the items, or has an impossible code.
    """
    try:
        table = _read(path)
        if isinstance(table, CodeTable):
            return table.checked().of_items(item_tokens).semantic_ids(item_tokens, seen, reserve)
    except UserError as error:
        raise UserError(f"semantic_ids {path}: {error}") from error
    except (ValueError, OverflowError, EOFError, NotImplementedError, BadZipFile) as error:
        raise UserError(f"semantic_ids {path} cannot be used: {error}") from error
    return SemanticIds.load(path, item_tokens)


def write_csv(ids: SemanticIds, path: Path) -> None:
    """Write a line `item_id,code_1,...,code_n,identification` and one for each item."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["item_id", *(f"code_{level}" for level in range(1, ids.n_digits)), IDENTIFICATION])
        writer.writerows([name, *codes] for name, codes in zip(ids.names[1:].tolist(), ids.codes[1:].tolist()))


@dataclass
class CodeTable:
    """What a plain file holds.

    Attributes:
        item_tokens: str [N].
        codes: int [N, levels], the identification digit in the last column where `identified`.
        identified: the file has identification digits.
        level_sizes: a number for each column of `codes`; None for the largest code + 1, for the identification
            digit some more.
    """

    item_tokens: np.ndarray
    codes: np.ndarray
    identified: bool = False
    level_sizes: tuple[int, ...] | None = None

    def checked(self) -> "CodeTable":
        """The same with int64 codes. Raises UserError on what is no table of codes."""
        tokens, codes = np.asarray(self.item_tokens), np.asarray(self.codes)
        if codes.ndim != 2 or tokens.ndim != 1 or len(tokens) != len(codes) or codes.shape[1] <= self.identified:
            raise UserError(f"{list(tokens.shape)} item ids and codes {list(codes.shape)} are not [N] and [N, L].")
        if not np.issubdtype(codes.dtype, np.integer):
            raise UserError(f"codes are whole numbers, not {codes.dtype}.")
        tokens = np.array(read_ids(tokens, "item"), dtype=str)
        if "" in tokens:
            raise UserError(f"item {tokens.tolist().index('') + 1} is empty. Each row needs its item.")
        names, counts = np.unique(tokens, return_counts=True)
        if len(names) < len(tokens):
            raise UserError(f"{(counts > 1).sum()} items stand in it twice, such as {names[counts > 1][0]}.")
        impossible = np.argwhere((codes < 0) | (codes > LARGEST_CODE))
        if len(impossible):
            row, level = impossible[0]
            raise UserError(
                f"item {tokens[row]} has code {codes[row, level]} on level {level + 1}, not 0 to {LARGEST_CODE:,}."
            )
        if self.level_sizes is not None and len(self.level_sizes) != codes.shape[1]:
            raise UserError(f"{len(self.level_sizes)} level sizes do not fit codes {list(codes.shape)}.")
        return replace(self, item_tokens=tokens, codes=codes.astype(np.int64))

    def of_items(self, item_tokens: np.ndarray) -> "CodeTable":
        """The rows of `item_tokens` (str [n_items], the padding item first, which gets 0s)."""
        row_of = {name: row for row, name in enumerate(self.item_tokens.tolist())}
        rows = np.array([row_of.get(name, -1) for name in np.asarray(item_tokens, dtype=str)[1:].tolist()], dtype=int)
        missing = np.asarray(item_tokens, dtype=str)[1:][rows < 0]
        if len(missing):
            raise UserError(
                f"it lacks {len(missing)} of the {len(rows)} items (such as {', '.join(missing[:5])}); it has "
                f"{len(row_of)} (such as {', '.join(self.item_tokens[:5])})."
            )
        codes = np.vstack([np.zeros((1, self.codes.shape[1]), dtype=np.int64), self.codes[rows]])
        return replace(self, item_tokens=item_tokens, codes=codes)

    def semantic_ids(self, item_tokens: np.ndarray, seen: np.ndarray, reserve: int | None) -> SemanticIds:
        """The ids, with identification digits made where there are none. ValueError when they can't be ids."""
        sizes = self.level_sizes or tuple(int(column.max(initial=0)) + 1 for column in self.codes.T)
        sizes = tuple(map(int, sizes))
        if self.identified:
            if self.level_sizes is None:
                sizes = *sizes[:-1], identification_size(sizes[:-1], self.codes[:, -1], reserve)
            return SemanticIds(torch.from_numpy(self.codes), sizes, item_tokens)
        return SemanticIds.from_codes(self.codes, sizes, seen, item_tokens, reserve)


def _read(path: Path) -> CodeTable | None:
    """The table; None for a file that `SemanticIds.save` wrote."""
    if path.suffix == ".csv":
        return _read_csv(path)
    if path.suffix == ".npy":
        names = path.with_suffix(".items.txt")
        if not names.is_file():
            raise UserError(f"it needs its items, one a line, in {names}.")
        return CodeTable(np.array(read_id_lines(names), dtype=str), np.load(path, allow_pickle=False))
    if path.suffix != ".npz":
        raise UserError("it should be a .npz, .npy or .csv file, or a folder with a semantic_ids.npz.")
    with np.load(path, allow_pickle=False) as arrays:
        if "item_tokens" in arrays:
            return None
        if "item_id" not in arrays or "codes" not in arrays:
            raise UserError(f"it needs the arrays item_id and codes, but has {', '.join(arrays.files) or 'none'}.")
        codes, identified = arrays["codes"], IDENTIFICATION in arrays
        if identified:
            codes = np.column_stack([codes, arrays[IDENTIFICATION]])
        sizes = _level_sizes(arrays["level_sizes"]) if "level_sizes" in arrays else None
        return CodeTable(arrays["item_id"], codes, identified, sizes)


def _level_sizes(sizes: np.ndarray) -> tuple[int, ...]:
    if sizes.ndim != 1 or not np.issubdtype(sizes.dtype, np.integer):
        raise UserError(f"level_sizes is {sizes.dtype} {list(sizes.shape)}. Wanted is a whole number for each level.")
    return tuple(sizes.tolist())


def _read_csv(path: Path) -> CodeTable:
    records = read_records(path, separator_of(path, ".csv"))
    header = next(records, None)
    if header is None or len(header.cells) < 2:
        raise UserError("its first line should name the columns: item_id,code_1,code_2,...")
    first, *columns = (cell.strip().lower() for cell in header.cells)
    if not first or "item_id" in columns:
        raise UserError(
            f"its first column is [{first}], where the items belong: item_id,code_1,code_2,... A table that pandas "
            f"wrote has its index there: to_csv(..., index=False)."
        )
    _check_columns(columns)
    tokens, rows = [], []
    for record in records:
        cells = [cell.strip() for cell in record.cells[1:]]
        if not all(cell.isascii() and cell.removeprefix("-").isdecimal() for cell in cells):
            raise UserError(f"line {record.line} is no item and its codes: {','.join(record.cells)}")
        rows.append([int(cell) for cell in cells])
        tokens.append(record.cells[0])
    identified = columns[-1] == IDENTIFICATION
    codes = np.array(rows, dtype=np.int64).reshape(len(rows), len(header.cells) - 1)
    return CodeTable(np.array(tokens, dtype=str), codes, identified)


def _check_columns(columns: list[str]) -> None:
    """Raise UserError where a header's columns after the item's are in another order than they are read in."""
    if IDENTIFICATION in columns[:-1]:
        raise UserError(f"its column [{IDENTIFICATION}] must be the last one.")
    numbers = [int(found[1]) for name in columns if (found := re.fullmatch(r"code_?(\d+)", name))]
    if numbers != sorted(numbers):
        raise UserError(f"its columns are in the order {', '.join(columns)}, but levels are read from left to right.")
