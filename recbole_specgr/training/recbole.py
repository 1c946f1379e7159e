"""RecBole's own trainers, in our stages."""

from __future__ import annotations

from typing import Any

from recbole.trainer import S3RecTrainer as RecBoleS3RecTrainer
from recbole.utils import get_trainer

from recbole_specgr.models.contract import RECBOLE
from recbole_specgr.settings.config import Config
from recbole_specgr.training.s3rec import S3RecTrainer
from recbole_specgr.training.staged import StagedTrainer

OURS = {RecBoleS3RecTrainer: S3RecTrainer}  # where the stages alone are not enough


def recbole_trainer(config: Config, model: Any) -> StagedTrainer:
    """The trainer that RecBole has for the model, or for the model of RecBole's that its class derives from; for any
    other class the one of its type."""
    theirs = (base.__name__ for base in type(model).__mro__ if f"{base.__module__}.".startswith(RECBOLE))
    name = next(theirs, type(model).__name__)
    base = get_trainer(config["MODEL_TYPE"], name)
    trainer = OURS.get(base) or type(base.__name__, (StagedTrainer, base), {})
    return trainer(config, model)
