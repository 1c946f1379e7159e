from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.contract import cosines
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.training_free import TrainingFreeRecommender
from recbole_specgr.models.vector_ranking import ALL, RanksByVectors


class SemanticKNN(RanksByVectors, ItemTables, TrainingFreeRecommender):
    """Nearest neighbours of the mean text vector of the user's last items, by cosine.

    The drafter without training of SpecGR's Tables 4 and A7 (Ding et al., AAAI 2026, appendix "Empirical Acceptance
    Rates and Speedup"), there with the last five items.
    """

    inductive = True
    compares_items = True
    needs = ("text_vectors",)
    item_tables = ("features", "directions")

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset)
        self.last_items, self.ranking_index = config["last_items"], config["ranking_index"]
        features = torch.from_numpy(text_vectors)
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("directions", F.normalize(features, dim=1), persistent=False)

    def alike(self, items: Tensor) -> Tensor:
        """Cosines of the items' text vectors."""
        return cosines(self.directions, items)

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"features": new.features, "directions": F.normalize(new.features, dim=1)}

    def item_vectors(self, items: slice = ALL) -> Tensor:
        return self.directions[items]

    def user_vectors(self, interaction: Interaction) -> Tensor:
        items, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN][:, None]
        position = torch.arange(items.size(1), device=items.device)
        recent = (position < length) & (position >= length - self.last_items)
        total = (self.features[items] * recent[:, :, None]).sum(1)  # the cosine needs no division by the count
        return F.normalize(total, dim=1)
