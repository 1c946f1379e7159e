from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.beam_search import beam_search
from recbole_specgr.models.generative_recommender import GenerativeRecommender


class TIGER(GenerativeRecommender):
    """Generative retrieval over semantic ids.

    Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023. A T5 reads the ids of the history and
    writes the id of the next item; beam search over the candidates' ids ranks them by their probability.
    """

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        tokens = self.history_tokens(interaction)
        return {"generation": self.generation_loss(self.backbone.encode(tokens), tokens, interaction[self.ITEM_ID])}

    @torch.no_grad()
    def full_sort_topk(self, interaction: Interaction, k: int, candidates: Tensor | None = None) -> Tensor:
        """The k most probable candidates `[B, k]`; -1 where the beams reach fewer."""
        _, _, memory = self.memory(interaction)
        index = self.index(candidates)
        return beam_search(self.backbone, memory, index, self.level_slices, k, max(self.num_beams, k))[0]
