"""The last digit of a semantic id, which tells items of equal codes apart."""

from collections.abc import Iterator, Sequence

import numpy as np


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


def identification_size(codebook_sizes: Sequence[int], digits: np.ndarray, reserve: int | None) -> int:
    """Number of identification digits: room for `reserve` later items beside the `digits` (int [n_items]) that there
    are (None: for as many as there are in the largest group), and no fewer than the largest codebook has codes."""
    largest = int(digits.max(initial=0)) + 1
    return max(*map(int, codebook_sizes), largest + (largest if reserve is None else reserve))


class FreeDigits:
    """The identification digits that are free, each given once.

    Args:
        codes: int [n_items, n_digits] of the items that have one, without the padding row.
        size: number of digits.
    """

    def __init__(self, codes: np.ndarray, size: int):
        self.size = size
        self.taken: dict[tuple[int, ...], set[int]] = {}
        for *prefix, digit in codes.tolist():
            self.taken.setdefault(tuple(prefix), set()).add(digit)
        self.free: dict[tuple[int, ...], Iterator[int]] = {}

    def take(self, codes: np.ndarray) -> int:
        """The lowest free digit of the tuple `codes` [n_digits - 1], from now on taken; -1 where there is none."""
        prefix = tuple(codes.tolist())
        if prefix not in self.free:
            taken = self.taken.get(prefix, set())
            self.free[prefix] = (digit for digit in range(self.size) if digit not in taken)
        return next(self.free[prefix], -1)
