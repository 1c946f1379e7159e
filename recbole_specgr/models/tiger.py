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

    def generate(self, users: EncodedUsers, k: int, candidates: Tensor, spare: int = 0) -> RankedList:
        """The `k + spare` most probable candidates that the beams of a list of k reach, -1 where these are fewer, with
        the mean log-probabilities of their digits."""
        num_beams = max(self.decoding["num_beams"], k)
        settings = self.digit_scale, self.decoding["beam_groups"], self.decoding["group_penalty"]
        items, total = users.once(
            ("generated", k + spare, num_beams, *settings),
            lambda: self.beam_search(users, self.index(candidates), k + spare, num_beams, *settings),
        )
        return RankedList(items, total / len(self.digit_columns))

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        assert isinstance(users, EncodedUsers)
        return self.generate(users, k, candidates)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """The same beams are searched, and only the last step keeps more items."""
        assert isinstance(users, EncodedUsers)
        return self.generate(users, k, candidates, spare=left_out.size(1)).without(left_out, k)
