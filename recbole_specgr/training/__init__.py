"""Stages, loops and checkpoints, and the trainers that a model may name."""

from recbole_specgr.runs.folder import LAST
from recbole_specgr.training.staged import StagedTrainer
from recbole_specgr.training.trainer import Trainer
from recbole_specgr.training.trainers import TRAINERS, make_trainer

__all__ = ["LAST", "TRAINERS", "StagedTrainer", "Trainer", "make_trainer"]
