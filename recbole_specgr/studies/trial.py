"""What a measure gets: a trained run under the settings of one cell, and the phase that is measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.ranking import Ranker
from recbole_specgr.system.errors import UserError

Measured = dict[str, float | int | list[float]]


@dataclass
class Trial:
    """A trained run under the settings of one cell.

    Attributes:
        name: the model's, for messages.
        record: the run's result.json.
        trainer: with the model, whose `decoding` has the cell's settings.
        loaders: RecBole's loaders of the phases "valid" and "test".
        phase: the one that is measured.
        show_progress: draw bars.
    """

    name: str
    record: dict[str, Any]
    trainer: Any
    loaders: Mapping[str, Any]
    phase: str = "test"
    show_progress: bool = False

    @property
    def model(self) -> Any:
        return self.trainer.model

    @property
    def view(self):
        return self.loaders[self.phase]._dataset

    def at(self, phase: str) -> "Trial":
        """The same run on another phase. Raises UserError for one that is not measured."""
        if phase not in self.loaders:
            raise UserError(f"The phase must be one of {', '.join(self.loaders)}, but is [{phase}].")
        return self if phase == self.phase else replace(self, phase=phase)

    @property
    def k(self) -> int:
        """The longest list that is measured."""
        return max(self.trainer.config["topk"])

    @cached_property
    def ranker(self) -> Ranker:
        return self.trainer.ranker(self.view)

    @cached_property
    def candidates(self) -> Tensor:
        """BoolTensor [n_items] on the device: what this model may rank in the phase."""
        return self.ranker.rankable(self.view.candidates.to(self.trainer.device))

    def batches(self, size: int, rows: int | None = None) -> Iterator[Interaction]:
        """The phase's rows in order, on the device, `size` a batch; the first `rows` of them, None: all."""
        total = len(self.view) if rows is None else min(len(self.view), rows)
        for start in range(0, total, size):
            yield self.view[torch.arange(start, min(start + size, total))].to(self.trainer.device)

    @cached_property
    def evaluated(self) -> tuple[dict[str, float], np.ndarray]:
        """All metrics of the phase, and the lists int [N, K], -1 where there is no item."""
        trainer = self.trainer
        trainer.eval_collector.keeps_lists = True
        result = trainer.evaluate(self.loaders[self.phase], load_best_model=False, show_progress=self.show_progress)
        return result, trainer.rows["rec.items"].numpy()

    def rank(self, interaction: Interaction, candidates: Tensor) -> Tensor:
        """The lists [B, K] that an evaluation would take."""
        return self.ranker.rank(interaction, self.k, candidates).items
