"""The base of mixins over RecBole's trainers: `super()` and the attributes that RecBole's `Trainer` sets are theirs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recbole.trainer import Trainer as TrainerMixin
else:  # the trainer that a mixin stands over is chosen where a class is made of both
    TrainerMixin = object

__all__ = ["TrainerMixin"]
