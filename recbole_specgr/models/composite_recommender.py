"""A model that is made of other models, each of them trained as if it were alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import nn

from recbole_specgr.models.contract import ModelContract, Part


class CompositeRecommender(ModelContract, SequentialRecommender):
    """Subclasses name their parts in `parts_in_order` and rank by `parts`.

    The part NAME is the model that the setting NAME names, with `NAME_settings` over its own property files. It is
    trained in the folder NAME of the run's, which is laid out like a run; or it is taken from a finished run, which the
    setting `NAME_run` names. `building.plan` sees to that.

    Attributes:
        parts: the models.
        part_configs: their settings.
        taken: names of the parts that come from other runs and are not trained.
    """

    input_type = InputType.POINTWISE
    trainer = "CompositeTrainer"

    def __init__(self, config: Config, dataset: Dataset, parts: Mapping[str, Part]) -> None:
        super().__init__(config, dataset)
        self.parts = nn.ModuleDict({name: part.model for name, part in parts.items()})
        self.part_configs = {name: part.config for name, part in parts.items()}
        self.taken = {name for name, part in parts.items() if part.taken}
        self.history_columns = tuple(sorted({name for part in parts.values() for name in part.model.history_columns}))

    def part(self, name: str) -> Any:
        """The model that the part is: a module with the contract of a model, as all in `parts` are."""
        return self.parts[name]

    @property
    def approximation(self) -> Mapping[str, Any]:  # type: ignore[override]  # it follows from the parts' and is not set
        """Of the parts whose lists are not the exact ones, by their names."""
        return {name: dict(found) for name in self.parts if (found := self.part(name).approximation)}

    def other_parameter(self) -> dict[str, Any]:
        """RecBole's hook: what the parts keep beside their parameters."""
        return {
            name: {
                key: value
                for key, value in self.part(name).other_parameter().items()
                if not isinstance(value, nn.Module)
            }
            for name in self.parts
        }

    def load_other_parameter(self, para: dict[str, Any] | None) -> None:
        for name, value in (para or {}).items():
            self.part(name).load_other_parameter(value)
