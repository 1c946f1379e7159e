"""A stage's own settings, in place while it is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from logging import getLogger
from typing import Any

from recbole.trainer import Trainer

from recbole_specgr.settings.named_classes import bigger_is_better

READ_BY_RECBOLE = ("epochs", "learner", "learning_rate", "weight_decay", "eval_step", "stopping_step")


@contextmanager
def stage_settings(trainer: Trainer, overrides: dict[str, Any]) -> Iterator[set[str]]:
    """The stage's settings over the run's, in the config and in the attributes that RecBole's trainer reads. The set
    that it yields gets the names of all settings that are read meanwhile."""
    config = trainer.config
    before = {key: config[key] for key in overrides}
    try:
        for key, value in overrides.items():
            config[key] = value
        with config.noting_reads() as read:
            for key in (key for key in READ_BY_RECBOLE if not config.has_no_effect(key)):
                setattr(trainer, key, config[key])
            _judge_by(trainer, config["valid_metric"])
            norm = config["clip_grad_norm"]
            trainer.clip_grad_norm = {"max_norm": norm} if isinstance(norm, (int, float)) else norm
            yield read
    finally:
        for key, value in before.items():
            config[key] = value
        _judge_by(trainer, config["valid_metric"])


def _judge_by(trainer: Trainer, valid_metric: str) -> None:
    trainer.valid_metric = valid_metric.lower()
    trainer.valid_metric_bigger = bigger_is_better(valid_metric)


def warn_of_unread(trainer: Trainer, stage: str, unread: Collection[str]) -> None:
    """Warn of a stage's own settings that nothing has read while it was trained. A model is built before its stages: no
    stage can change what is read then, such as sizes."""
    if unread and not trainer.config["rank"]:
        named = ", ".join(f"[stages.{stage}.{key}]" for key in sorted(unread))
        getLogger().warning(
            f"{named} had no effect: {trainer.config['model']} reads nothing of this kind once it is built. Set it for "
            f"the whole run."
        )
