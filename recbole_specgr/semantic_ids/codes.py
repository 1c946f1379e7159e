"""The table of semantic ids: codes, their vocabulary, and the identification digit that makes them unique."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbole_specgr.semantic_ids.identification import FreeDigits, identification_digits, identification_size
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

NearestCodes = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """Semantic ids of all items, and the token vocabulary they live in.

    Level l owns the tokens `1 + sum(level_sizes[:l])` to `1 + sum(level_sizes[:l + 1])` (exclusive), so that no level
    can run into another one or into a special token.  Token 0 is padding and the decoder's start, `bos` and `eos`
    follow the last level.

    Attributes:
        codes: LongTensor [n_items, n_digits], the last column is the identification digit; row 0 is padding, all 0.
        level_sizes: number of possible codes of each of the n_digits levels.
        item_tokens: str array [n_items], the data set's own names of the items, by which the saved file is keyed.

    Raises:
        ValueError: shapes disagree, a code is outside its level, or two items have equal codes.
    """

    codes: Tensor
    level_sizes: tuple[int, ...]
    item_tokens: np.ndarray | None = None

    pad = 0

    def __post_init__(self) -> None:
        if self.codes.dim() != 2 or self.codes.size(1) != len(self.level_sizes):
            raise ValueError(f"codes of shape {list(self.codes.shape)} do not fit {len(self.level_sizes)} level sizes.")
        if self.item_tokens is not None and len(self.item_tokens) != len(self.codes):
            raise ValueError(f"{len(self.item_tokens)} item tokens do not fit {len(self.codes)} rows of codes.")
        sizes = torch.tensor(self.level_sizes)
        outside = ((self.codes.cpu() < 0) | (self.codes.cpu() >= sizes)).nonzero()
        if len(outside):
            item, level = outside[0].tolist()
            raise ValueError(
                f"item {item} has code {int(self.codes[item, level])} on level {level}, which holds codes 0 to "
                f"{self.level_sizes[level] - 1}."
            )
        distinct = len(torch.unique(self.codes[1:], dim=0))
        if distinct < len(self.codes) - 1:
            raise ValueError(f"{len(self.codes) - 1} items have only {distinct} distinct semantic ids.")

    @classmethod
    def from_codes(
        cls,
        codes: np.ndarray,
        codebook_sizes: tuple[int, ...],
        seen: np.ndarray,
        item_tokens: np.ndarray | None = None,
        reserve: int | None = None,
    ) -> "SemanticIds":
        """Append the identification digit to a tokenizer's codes.

        Items of equal codes are numbered 0, 1, 2, ..., the seen ones first, both in item id order.  Its level leaves
        every group room for at least `reserve` later items, and is at least as large as the largest codebook.

        Args:
            codes: int [n_items, n_digits - 1]; row 0 is ignored.
            codebook_sizes: of the n_digits - 1 levels.
            seen: bool [n_items].
            item_tokens: str [n_items].
            reserve: None leaves room for as many items as the largest group has.
        """
        digits = identification_digits(codes, seen)
        table = np.column_stack([codes, digits]).astype(np.int64)
        table[0] = 0
        sizes = *map(int, codebook_sizes), identification_size(codebook_sizes, digits, reserve)
        return cls(torch.from_numpy(table), sizes, item_tokens)

    def extended(
        self, codes: np.ndarray, item_tokens: np.ndarray, nearest_codes: NearestCodes | None = None
    ) -> "SemanticIds":
        """Append items that arrive later; existing ids, levels and tokens stay as they are.

        Each new item, in order, takes the lowest free identification digit of its tuple of codes.  Where none is free,
        it takes the first tuple of `nearest_codes` that has one; no item ever gets another's id or a token outside the
        identification digit's level.

        Args:
            codes: int [n_new, n_digits - 1], what the tokenizer encodes the new items to.
            item_tokens: str [n_new], none of them in the table yet.
            nearest_codes: called with the numbers (int array) of the new items whose tuple is full; gives other tuples
                for them, int [len, n, n_digits - 1], the nearest first (`Tokenizer.nearest_codes` of their features).

        Raises:
            UserError: an item is there already, a code is outside its level, or an item's tuple is full and there is
                no other for it.
        """
        codes, item_tokens = np.asarray(codes, dtype=np.int64), np.asarray(item_tokens, dtype=str)
        if codes.shape != (len(item_tokens), self.n_digits - 1):
            raise ValueError(f"codes of shape {list(codes.shape)} do not fit {len(item_tokens)} items.")
        self._require_new(item_tokens)
        sizes = np.array(self.level_sizes[:-1])
        outside = np.flatnonzero(((codes < 0) | (codes >= sizes)).any(axis=1))
        if len(outside):
            raise UserError(
                f"Item {item_tokens[outside[0]]} has the codes {codes[outside[0]].tolist()}, but the levels hold "
                f"{'/'.join(map(str, sizes))}: it was encoded by another tokenizer."
            )
        free = FreeDigits(self.codes[1:].cpu().numpy(), self.level_sizes[-1])
        rows = np.column_stack([codes, np.full(len(codes), -1)])
        for row in rows:
            row[-1] = free.take(row[:-1])
        full = np.flatnonzero(rows[:, -1] < 0)
        if len(full) and nearest_codes is not None:
            for row, others in zip(full, np.asarray(nearest_codes(full), dtype=np.int64)):
                placed = ((*other, digit) for other in others if (digit := free.take(other)) >= 0)
                rows[row] = next(placed, rows[row])
        unplaced = item_tokens[rows[:, -1] < 0]
        if len(unplaced):
            raise UserError(
                f"{len(unplaced)} new items (such as {', '.join(unplaced[:3])}) have no free semantic id: all "
                f"{self.level_sizes[-1]} identification digits of their codes, and of those near them, are taken. "
                f"Train with a larger tokenizer.reserve or with more codes."
            )
        return type(self)(
            torch.cat([self.codes, torch.from_numpy(rows).to(self.codes.device)]),
            self.level_sizes,
            np.concatenate([self.names, item_tokens]),
        )

    def _require_new(self, item_tokens: np.ndarray) -> None:
        names, counts = np.unique(item_tokens, return_counts=True)
        again = np.concatenate([np.intersect1d(names, self.names[1:]), names[counts > 1]])
        if len(again):
            raise UserError(f"{len(again)} items have a semantic id already, such as {', '.join(again[:3])}.")

    @property
    def names(self) -> np.ndarray:
        """The items' tokens str [n_items]; their numbers where they have none."""
        return np.arange(self.n_items).astype(str) if self.item_tokens is None else np.asarray(self.item_tokens, str)

    @property
    def n_items(self) -> int:
        """Number of rows, the padding item included."""
        return len(self.codes)

    @property
    def n_digits(self) -> int:
        """Length of a semantic id, the identification digit included."""
        return len(self.level_sizes)

    @property
    def bos(self) -> int:
        """Token that begins a history."""
        return 1 + sum(self.level_sizes)

    @property
    def eos(self) -> int:
        """Token that ends a history."""
        return self.bos + 1

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return self.bos + 2

    @cached_property
    def level_slices(self) -> tuple[tuple[int, int], ...]:
        """First token and end (exclusive) of each level."""
        ends = np.cumsum((1, *self.level_sizes)).tolist()
        return tuple(pairwise(ends))

    @cached_property
    def tokens(self) -> Tensor:
        """LongTensor [n_items, n_digits] of vocabulary ids; row 0 is all padding."""
        first = torch.tensor([start for start, _ in self.level_slices], device=self.codes.device)
        tokens = self.codes + first
        tokens[0] = self.pad
        return tokens

    def save(self, path: str | os.PathLike) -> None:
        """Write the table to `path` (.npz), keyed by item token."""
        with atomic_write(path) as temporary:
            np.savez_compressed(
                temporary,
                codes=self.codes.cpu().numpy(),
                level_sizes=np.array(self.level_sizes),
                item_tokens=self.names,
            )

    @classmethod
    def load(cls, path: str | os.PathLike, item_tokens: np.ndarray | None = None) -> "SemanticIds":
        """Read a saved table, with its rows brought into the order of `item_tokens` (str [n_items]) where given.

        Raises:
            UserError: there is no such file, it is no table of semantic ids, or it lacks some of the items.
        """
        if not Path(path).is_file():
            raise UserError(f"There are no semantic ids at {path}.")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                codes, sizes, names = arrays["codes"], arrays["level_sizes"], arrays["item_tokens"]
        except Exception as error:  # a cut zip archive fails with many types
            raise UserError(f"{path} holds no semantic ids ({error}). Delete it to have them made again.") from error
        if item_tokens is not None:
            item_tokens = np.asarray(item_tokens, dtype=str)
            row_of = {name: row for row, name in enumerate(names.tolist()) if row > 0}
            rows = np.array([0, *(row_of.get(name, -1) for name in item_tokens[1:].tolist())], dtype=np.int64)
            missing = item_tokens[rows < 0]
            if len(missing):
                raise UserError(
                    f"{path} lacks the semantic ids of {len(missing)} of {len(rows) - 1} items (such as "
                    f"{', '.join(missing[:5])}): it was made for other data. Delete it to have them made again."
                )
            codes, names = codes[rows], item_tokens
        return cls(torch.from_numpy(codes.astype(np.int64)), tuple(sizes.tolist()), names)
