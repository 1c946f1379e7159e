from __future__ import annotations

from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender

BEAM_SETTINGS = ("normalizer", "beam_groups", "group_penalty", "beam_temperature")  # in the order of `beam_search`


class TIGER(GenerativeRecommender):
    """Generative retrieval over semantic ids.

    Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023. A T5 or a decoder-only backbone reads
    the ids of the history and writes the id of the next item; beam search over the candidates' ids ranks them by their
    probability.
    """

    decoding_keys: tuple[str, ...] = ("num_beams", *BEAM_SETTINGS)

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        learned, _ = self.training_pass(interaction)
        return {"generation": learned.loss()}

    def generate(self, users: EncodedUsers, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """The k most probable candidates, -1 where the beams reach fewer, and the mean log-probabilities of their
        digits, `[B, k]`."""
        num_beams, settings = max(self.decoding["num_beams"], k), [self.decoding[key] for key in BEAM_SETTINGS]
        items, total = users.once(
            ("generated", k, num_beams, *settings),
            lambda: self.beam_search(users, self.index(candidates), k, num_beams, *settings),
        )
        return items, total / len(self.level_slices)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        assert isinstance(users, EncodedUsers)
        return RankedList(*self.generate(users, k, candidates))
