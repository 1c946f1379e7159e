"""What the models that follow a rule share: no parameters, no loss."""

from __future__ import annotations

from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType

from recbole_specgr.models.contract import ScoresItems


class TrainingFreeRecommender(ScoresItems, SequentialRecommender):
    """Ranks by a score of every item. Whether lists hold what a user has had is the protocol's (`repeatable`)."""

    input_type = InputType.POINTWISE
