"""Batches of rows gathered by index, without worker processes; an epoch's batches depend on seed and epoch only."""

from collections.abc import Iterator
from itertools import islice

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.training.batch import TrainingBatch


class BatchLoader:
    """Batches of a training view, in a seeded order that is new each epoch.

    A batch starts with `batch_size` rows of the epoch's permutation (the last batch of an epoch is filled up), then
    has `extra_rows` of a second, independent permutation that starts again whenever it ends: more items to contrast
    with, without another pass over the data. No row comes twice in a batch; a data set smaller than that gives
    smaller batches.

    Args:
        dataset: has `len` and `dataset.__getitem__(LongTensor, join=False)`.
        rank, world_size: this process takes every `world_size`-th row of each batch, from `rank` on.
    """

    def __init__(self, dataset, batch_size: int, seed: int, extra_rows: int = 0, rank: int = 0, world_size: int = 1):
        self.dataset = dataset
        self.batch_size = min(batch_size, len(dataset))
        self.extra_rows = min(extra_rows, len(dataset) - self.batch_size)
        self.seed, self.epoch = seed, 0
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Interaction]:
        return (batch.interaction for batch in self.batches_from(0))

    @property
    def smallest(self) -> int:
        """How many rows of the epoch the smallest batch has; all have equally many."""
        return self.batch_size

    def batches_from(self, first: int) -> Iterator[TrainingBatch]:
        """The batches of this epoch without the `first` ones, which are not made."""
        for rows in islice(self.index_batches(), first, None):
            own = torch.arange(len(rows))[self.rank :: self.world_size]
            targets = (own < self.batch_size).long()
            yield TrainingBatch(self.dataset.__getitem__(rows[own], join=False), targets, self.batch_size)

    def index_batches(self) -> Iterator[Tensor]:
        """The row numbers of each batch of this epoch, LongTensor [batch_size + extra_rows]."""
        order = permutation(len(self.dataset), self.seed, self.epoch, 0)
        filler = _Filler(len(self.dataset), self.seed, self.epoch)
        for rows in order.split(self.batch_size):
            missing = self.batch_size - len(rows) + self.extra_rows
            yield torch.cat([rows, filler.take(missing, rows)]) if missing else rows


class _Filler:
    """An endless sequence of permutations of `n_rows`, from which rows are taken that a batch does not have yet."""

    def __init__(self, n_rows: int, seed: int, epoch: int):
        self.n_rows, self.seed, self.epoch = n_rows, seed, epoch
        self.round = 0
        self.order = torch.empty(0, dtype=torch.long)
        self.taken = torch.zeros(n_rows, dtype=torch.bool)

    def take(self, count: int, batch: Tensor) -> Tensor:
        """The next `count` rows that are not in `batch`; there must be so many."""
        self.taken[batch] = True
        picked = []
        while count:
            if not len(self.order):
                self.round += 1
                self.order = permutation(self.n_rows, self.seed, self.epoch, self.round)
            rows, self.order = self.order[:count], self.order[count:]
            rows = rows[~self.taken[rows]]
            self.taken[rows] = True
            picked.append(rows)
            count -= len(rows)
        rows = torch.cat(picked)
        self.taken[batch] = self.taken[rows] = False
        return rows


def permutation(n_rows: int, *key: int) -> Tensor:
    """A random order of `n_rows` rows, the same for the same key."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (1 << 62)
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed))
