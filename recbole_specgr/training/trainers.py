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
    """The trainer of a model that `building` made, under its settings. The config then knows which settings of
    RecBole's own training loop change nothing."""
    config.without_effect(_of_recboles_loop(model))
    return TRAINERS[model.trainer](config, model)


# Settings of RecBole's own loop, which RecBole reads for every trainer -> what is usual. Our trainer takes AdamW, an
# order of rows of its own, no drawn negatives, and `precision` in place of AMP.
LEARNING: dict[str, Any] = {
    "learner": "adam",
    "train_neg_sample_args": {
        **{"distribution": "none", "sample_num": "none", "alpha": "none"},
        **{"dynamic": False, "candidate_num": 0},
    },
}
SHARED_WITH_PARTS: dict[str, Any] = {"shuffle": True, "enable_amp": False, "enable_scaler": False}


def _of_recboles_loop(model: Any) -> dict[str, Any]:
    """Those that change nothing for this model. Parts have settings of learning of their own; the others they share."""
    if model.trainer == "RecBoleTrainer":
        return {}
    return LEARNING if _has_part_of_recboles(model) else {**LEARNING, **SHARED_WITH_PARTS}


def _has_part_of_recboles(model: Any) -> bool:
    parts = model.parts.values() if model.trainer == "CompositeTrainer" else ()
    return any(part.trainer == "RecBoleTrainer" or _has_part_of_recboles(part) for part in parts)


def _composite(config: Config, model: Any) -> StagedTrainer:
    return CompositeTrainer(config, model, make_trainer)


#: What `ModelContract.trainer` may be: the trainer of our models, that of models made of others, and RecBole's own.
TRAINERS: dict[str, Callable[[Config, Any], StagedTrainer]] = {
    "Trainer": Trainer,
    "CompositeTrainer": _composite,
    "RecBoleTrainer": recbole_trainer,
}
