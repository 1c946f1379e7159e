"""The table of semantic ids: codes, their vocabulary, and the identification digit that makes them unique."""

import os
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recbole_specgr.cache import atomic_write
from recbole_specgr.errors import UserError


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
        cls, codes: np.ndarray, codebook_sizes: tuple[int, ...], seen: np.ndarray, item_tokens: np.ndarray | None = None
    ) -> "SemanticIds":
        """Append the identification digit to a tokenizer's codes.

        Items of equal codes are numbered 0, 1, 2, ..., the seen ones first, both in item id order.  Its level is as
        large as the largest group, and at least as large as the largest codebook.

        Args:
            codes: int [n_items, n_digits - 1]; row 0 is ignored.
            codebook_sizes: of the n_digits - 1 levels.
            seen: bool [n_items].
            item_tokens: str [n_items].
        """
        digits = identification_digits(codes, seen)
        table = np.column_stack([codes, digits]).astype(np.int64)
        table[0] = 0
        size = max(*codebook_sizes, int(digits.max(initial=0)) + 1)
        return cls(torch.from_numpy(table), (*map(int, codebook_sizes), size), item_tokens)

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
        names = np.arange(self.n_items).astype(str) if self.item_tokens is None else np.asarray(self.item_tokens, str)
        with atomic_write(path) as temporary:
            np.savez_compressed(
                temporary, codes=self.codes.cpu().numpy(), level_sizes=np.array(self.level_sizes), item_tokens=names
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


def identification_digits(codes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Number the items of equal codes 0, 1, 2, ...: seen items first, then unseen ones, both in item id order.

    Args:
        codes: int [n_items, levels]; row 0 (padding) takes no part and gets 0.
        seen: bool [n_items].

    Returns:
        int64 [n_items].
    """
    digits = np.zeros(len(codes), dtype=np.int64)
    order = np.lexsort((~np.asarray(seen, dtype=bool)[1:], *codes[1:].T)) + 1  # stable: item id order within ties
    if len(order):
        new_group = np.r_[True, (codes[order[1:]] != codes[order[:-1]]).any(axis=1)]
        position = np.arange(len(order))
        digits[order] = position - np.maximum.accumulate(np.where(new_group, position, 0))
    return digits
