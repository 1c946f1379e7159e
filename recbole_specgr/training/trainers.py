"""The trainer that a model names in its contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recbole_specgr.settings.config import Config
from recbole_specgr.training.composite import CompositeTrainer
from recbole_specgr.training.recbole import recbole_trainer
from recbole_specgr.training.staged import StagedTrainer
from recbole_specgr.training.trainer import Trainer


def make_trainer(config: Config, model: Any) -> StagedTrainer:
    """The trainer of a model that `building` made, under its settings."""
    return TRAINERS[model.trainer](config, model)


def _composite(config: Config, model: Any) -> StagedTrainer:
    return CompositeTrainer(config, model, make_trainer)


#: What `ModelContract.trainer` may be: the trainer of our models, that of models made of others, and RecBole's own.
TRAINERS: dict[str, Callable[[Config, Any], StagedTrainer]] = {
    "Trainer": Trainer,
    "CompositeTrainer": _composite,
    "RecBoleTrainer": recbole_trainer,
}
