"""Stages, loops and checkpoints. `<Model>Trainer` here is what trains that model (see `registry.get_trainer`)."""

from recbole_specgr.training.composite import CompositeRecommenderTrainer
from recbole_specgr.training.last_checkpoint import LAST
from recbole_specgr.training.s3rec import S3RecTrainer
from recbole_specgr.training.staged import StagedTrainer
from recbole_specgr.training.trainer import Trainer

__all__ = ["LAST", "CompositeRecommenderTrainer", "S3RecTrainer", "StagedTrainer", "Trainer"]
