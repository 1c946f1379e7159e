from __future__ import annotations

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from scipy.sparse import csr_matrix
from torch import Tensor

from recbole_specgr.evaluation.ranking import EMPTY, blocks, rank_scores
from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.training_free import TrainingFreeRecommender


class ItemCoCount(TrainingFreeRecommender):
    """The items that most users of the user's last item used in training, too; equals by their popularity.

    The one-hop case of the item-to-item collaborative filtering of Linden et al., IEEE Internet Computing 2003.
    """

    reads_interactions = True

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        users, items, _ = dataset.train_interactions
        ones, shape = np.ones(len(items), dtype=np.int8), (users.max() + 1, self.n_items)
        of_users = csr_matrix((ones, (users, items)), shape=shape)
        of_items = of_users.T.tocsr()
        ever = np.bincount(items, minlength=self.n_items)
        popularity = ever / (len(items) + 1)  # below 1: it decides between equals
        for name, values in (
            ("first_item", of_users.indptr.astype(np.int64)),  # where each user's items begin
            ("items", of_users.indices.astype(np.int64)),
            ("first_user", of_items.indptr.astype(np.int64)),  # where each item's users begin
            ("users", of_items.indices.astype(np.int64)),
            ("popularity", popularity.astype(np.float32)),
            ("by_popularity", np.argsort(-ever, kind="stable")),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`."""
        return self.common_users(interaction) + self.popularity

    def common_users(self, interaction: Interaction) -> Tensor:
        """How many users each item shares with the last one `[B, n_items]`."""
        items, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        last = items.gather(1, (length - 1)[:, None]).squeeze(1)
        counts = self.popularity.new_zeros(len(last), self.n_items)
        row, entry = entries(self.first_user, last)
        which, item = entries(self.first_item, self.users[entry])
        place = (row[which], self.items[item])
        return counts.index_put_(place, counts.new_ones(()), accumulate=True)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """Equal counts come in the order of popularity, also where their sum's digits would not show it."""
        lists, scores = [], []
        for part in blocks(len(users.interaction), self.n_items):
            interaction = users.interaction[part]
            counts = self.common_users(interaction)
            places = rank_scores(counts[:, self.by_popularity], k, candidates[self.by_popularity])
            items = self.by_popularity[places.clamp(min=0)]
            scores.append((counts.gather(1, items) + self.popularity[items]).masked_fill(places == EMPTY, -torch.inf))
            lists.append(items.masked_fill(places == EMPTY, EMPTY))
        return RankedList(torch.cat(lists), torch.cat(scores))


def entries(first: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """All entries of some rows of a sparse matrix, one row after the other.

    Args:
        first: where each row's entries begin, and where the last row's end `[n + 1]`.
        rows: `[m]`.

    Returns:
        For each entry, its place in `rows` and its number in the matrix, both `[e]`.
    """
    start, count = first[rows], first[rows + 1] - first[rows]
    place = torch.arange(len(rows), device=rows.device).repeat_interleave(count)
    number = torch.arange(len(place), device=rows.device) - (count.cumsum(0) - count)[place]
    return place, start[place] + number
