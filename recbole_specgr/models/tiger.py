from __future__ import annotations

from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.digit_scale import DigitScale
from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender


class TIGER(GenerativeRecommender):
    """Generative retrieval over semantic ids.

    Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023. A T5 or a decoder-only backbone reads
    the ids of the history and writes the id of the next item; beam search over the candidates' ids ranks them by their
    probability.
    """

    decoding_keys: tuple[str, ...] = ("num_beams", "normalizer", "beam_temperature", "beam_groups", "group_penalty")

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        learned, _ = self.training_pass(interaction)
        return {"generation": learned.loss()}

    @property
    def digit_scale(self) -> DigitScale:
        return DigitScale(self.decoding["normalizer"], self.decoding["beam_temperature"])

    def generate(self, users: EncodedUsers, k: int, candidates: Tensor, left_out: Tensor | None = None) -> RankedList:
        """The k most probable candidates that the beams reach, -1 where these are fewer, with the mean
        log-probabilities of their digits; without each user's `left_out` `[B, S]`."""
        num_beams = max(self.decoding["num_beams"], k)
        settings = self.digit_scale, self.decoding["beam_groups"], self.decoding["group_penalty"]
        items, total = users.once(
            ("generated", k, num_beams, left_out is None, *settings),  # users are asked without the same items always
            lambda: self.beam_search(users, self.index(candidates), k, num_beams, *settings, left_out=left_out),
        )
        return RankedList(items, total / len(self.digit_columns))

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        assert isinstance(users, EncodedUsers)
        return self.generate(users, k, candidates)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """What is left out takes no beam."""
        assert isinstance(users, EncodedUsers)
        return self.generate(users, k, candidates, left_out)
