from __future__ import annotations

import torch
from torch import Tensor

from recbole_specgr.decoding.unseen_mix import append_unseen
from recbole_specgr.evaluation.ranking import EMPTY
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
    compares_items = False  # one choice among all places would undo which of them are kept for new items
    decoding_keys = (*TIGER.decoding_keys, "epsilon")

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The new items at the end have no score of their own: NaN."""
        nothing = users.interaction[self.ITEM_SEQ][:, :0]
        return self.rank_without(users, k, candidates, nothing)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """Items are left out before the list is composed, so that new ones have their share of its k places."""
        assert isinstance(users, EncodedUsers)
        generated = self.generate(users, k, candidates, left_out)
        most = int(self.decoding["epsilon"] * k + 1e-9)
        items = append_unseen(generated.items, self.index(candidates), ~self.seen, most, left_out)
        scores = generated.scores.masked_fill(items == EMPTY, -torch.inf)
        return RankedList(items, scores.masked_fill((items != generated.items) & (items != EMPTY), torch.nan))
