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
        used = csr_matrix(
            (np.ones(len(items), dtype=np.float32), (users, items)), shape=(users.max() + 1, self.n_items)
        )
        together = (used.T @ used).tocsr()
        popularity = np.bincount(items, minlength=self.n_items) / (len(items) + 1)  # below 1: it decides between equals
        for name, values in (
            ("first", together.indptr.astype(np.int64)),
            ("item", together.indices.astype(np.int64)),
            ("users", together.data),
            ("popularity", popularity.astype(np.float32)),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def scores(self, interaction: Interaction) -> Tensor:
        items, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        last = items.gather(1, (length - 1)[:, None]).squeeze(1)
        scores = self.popularity.repeat(len(last), 1)
        # All entries of the last items' rows of the sparse matrix, one after the other.
        start, count = self.first[last], self.first[last + 1] - self.first[last]
        row = torch.arange(len(last), device=last.device).repeat_interleave(count)
        entry = torch.arange(len(row), device=last.device) + (start - (count.cumsum(0) - count))[row]
        scores[row, self.item[entry]] += self.users[entry]
        return scores
