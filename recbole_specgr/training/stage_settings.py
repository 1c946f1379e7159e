"""A stage's own settings, in place while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recbole.trainer import Trainer

READ_BY_RECBOLE = ("epochs", "learner", "learning_rate", "weight_decay", "eval_step", "stopping_step")


@contextmanager
def stage_settings(trainer: Trainer, overrides: dict[str, Any]) -> Iterator[None]:
    """The stage's settings over the run's, in the config and in the attributes that RecBole's trainer reads."""
    config = trainer.config
    before = {key: config[key] for key in overrides}
    try:
        for key, value in overrides.items():
            config[key] = value
        for key in READ_BY_RECBOLE:
            setattr(trainer, key, config[key])
        trainer.valid_metric = config["valid_metric"].lower()
        norm = config["clip_grad_norm"]
        trainer.clip_grad_norm = {"max_norm": norm} if isinstance(norm, (int, float)) else norm
        yield
    finally:
        for key, value in before.items():
            config[key] = value
