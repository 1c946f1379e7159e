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

    def generate(self, users: EncodedUsers, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The k most probable candidates, -1 where the beams reach fewer, and the mean log-probabilities of their
        digits, `[B, k]`."""
        num_beams = max(self.decoding["num_beams"], k)
        settings = self.digit_scale, self.decoding["beam_groups"], self.decoding["group_penalty"]
        items, total = users.once(
            ("generated", k, num_beams, *settings),
            lambda: self.beam_search(users, self.index(candidates), k, num_beams, *settings),
        )
        return items, total / len(self.digit_columns)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        assert isinstance(users, EncodedUsers)
        return RankedList(*self.generate(users, k, candidates))
