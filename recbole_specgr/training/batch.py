"""A training batch as the trainer takes it: this process's part, and how much of the whole batch that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recbole.data.interaction import Interaction
from torch import Tensor


@dataclass(frozen=True)
class TrainingBatch:
    """This process's part of a batch that all processes share.

    Attributes:
        interaction: what the model is given, B rows or windows.
        targets: LongTensor `[B]`, how many targets of the epoch each of them has. A row that is there only to be
            contrasted with the others has none.
        total: targets of the epoch in the batch of all processes.
    """

    interaction: Interaction
    targets: Tensor
    total: int

    def in_parts(self, count: int) -> Iterator[tuple[Any, int]]:
        """The batch in `count` parts, each with its number of targets."""
        if count == 1:
            yield self.interaction, int(self.targets.sum())
            return
        for number in range(count):
            yield self.interaction[number::count], int(self.targets[number::count].sum())
