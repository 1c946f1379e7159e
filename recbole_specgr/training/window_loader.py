"""Batches of windows; an epoch's batches depend on seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.training.batch import TrainingBatch
from recbole_specgr.training.loader import permutation
from recbole_specgr.training.windows import Windows


class WindowLoader:
    """Batches of windows of like lengths, with about equally many targets each, in a seeded order new each epoch.

    The windows are sorted by length and number of targets, those that are equal in both in a new order each epoch, and
    cut where the targets divide evenly. So every epoch has the same number of batches of the same sizes, and little of
    a batch is padding. Their order is random.

    Args:
        windows: what is trained on.
        batch_size: targets of a batch, of all processes together. A batch has about so many: it has more, if at all,
            by less than one window has.
        rank, world_size: this process takes every `world_size`-th window of each batch, from `rank` on.
    """

    extra_rows = 0  # none are there only to be contrasted with the others

    def __init__(self, windows: Windows, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        self.windows, self.seed, self.epoch = windows, seed, 0
        self.rank, self.world_size = rank, world_size
        _, self._kind = torch.stack([windows.length, windows.targets], 1).unique(dim=0, return_inverse=True)
        total = int(windows.targets.sum())
        count = -(-total // batch_size)
        done = windows.targets[self._kind.argsort()].cumsum(0)  # equal kinds have equal targets
        ends = torch.searchsorted(done, torch.arange(1, count + 1) * total // count, right=True)
        self.sizes = [size for size in ends.diff(prepend=torch.zeros(1, dtype=torch.long)).tolist() if size]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def smallest(self) -> int:
        """How many windows the smallest batch has."""
        return min(self.sizes)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Interaction]:
        return (batch.interaction for batch in self.batches_from(0))

    def batches_from(self, first: int) -> Iterator[TrainingBatch]:
        """The batches of this epoch without the `first` ones, which are not made."""
        for index in islice(self.index_batches(), first, None):
            own = index[self.rank :: self.world_size]
            targets = self.windows.targets
            yield TrainingBatch(self.windows[own], targets[own], int(targets[index].sum()))

    def index_batches(self) -> Iterator[Tensor]:
        """The numbers of the windows of each batch of this epoch, LongTensors `[n]`."""
        order = permutation(len(self.windows), self.seed, self.epoch, 0)
        batches = order[self._kind[order].argsort(stable=True)].split(self.sizes)
        for number in permutation(len(batches), self.seed, self.epoch, 1).tolist():
            yield batches[number]
