from __future__ import annotations

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from scipy.sparse import csr_matrix
from torch import Tensor

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
        popularity = np.bincount(items, minlength=self.n_items) / (len(items) + 1)  # below 1: it decides between equals
        for name, values in (
            ("first_item", of_users.indptr.astype(np.int64)),  # where each user's items begin
            ("items", of_users.indices.astype(np.int64)),
            ("first_user", of_items.indptr.astype(np.int64)),  # where each item's users begin
            ("users", of_items.indices.astype(np.int64)),
            ("popularity", popularity.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def scores(self, interaction: Interaction) -> Tensor:
        items, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        last = items.gather(1, (length - 1)[:, None]).squeeze(1)
        scores = self.popularity.repeat(len(last), 1)
        row, entry = entries(self.first_user, last)
        which, item = entries(self.first_item, self.users[entry])
        place = (row[which], self.items[item])
        return scores.index_put_(place, scores.new_ones(()), accumulate=True)


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
