from __future__ import annotations

import torch
from torch import Tensor

from recbole_specgr.decoding.unseen_mix import append_unseen
from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.generative_recommender import EncodedUsers
from recbole_specgr.models.tiger import TIGER


class TIGER_C(TIGER):
    """TIGER with a share of its list kept for new items.

    Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, on cold-start items; as in the SpecGR
    paper's appendix. Unseen items whose id but for the identification digit was generated stand at the end of the list,
    the best generated prefix first. They take at most the share `epsilon` of its places.

    Its training is the backbone's. The setting `backbone_run` names a finished run of that, whose ids and parameters it
    takes over instead.
    """

    trained_as = "backbone"
    decoding_keys = (*TIGER.decoding_keys, "epsilon")

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The new items at the end have no score of their own: NaN."""
        assert isinstance(users, EncodedUsers)
        generated, scores = self.generate(users, k, candidates)
        most = int(self.decoding["epsilon"] * k + 1e-9)
        items = append_unseen(generated, self.index(candidates), ~self.seen, most)
        scores = scores.masked_fill(items == -1, -torch.inf)
        return RankedList(items, scores.masked_fill((items != generated) & (items != -1), torch.nan))
