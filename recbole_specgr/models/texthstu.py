from __future__ import annotations

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_specgr.models.hstu_reader import HSTUReader, item_loss
from recbole_specgr.models.residual_map import ResidualMap
from recbole_specgr.models.text_item_recommender import TextItemRecommender


class TextHSTU(TextItemRecommender):
    """HSTU over a small map of the items' text vectors, so that it ranks new items and can draft for SpecGR.

    HSTU is Zhai et al., ICML 2024 (see `HSTU`). The map is `TextSASRec`'s: one linear map with a two-layer residual, of
    text vectors that are centred and of unit length. Their combination is this project's.
    """

    by_cosine = True

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.temperature, self.n_negatives = config["temperature"], config["n_negatives"]
        width = self.features.size(1)
        self.adaptor = ResidualMap(width, self.hidden_size, config["map_size"], config["map_dropout_prob"])
        for linear in (self.adaptor.linear, self.adaptor.first, self.adaptor.second):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.adaptor.linear.weight, std=width**-0.5)
        self.adaptor.centre.copy_(self.features[self.seen_items].mean(0))
        self.reader = HSTUReader(config, self.max_seq_length)
        self.history_columns = self.reader.history_columns

    def item_loss(self, users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        return item_loss(users, items, targets, self.temperature, self.n_negatives)

    def read_history(self, embedded: Tensor, interaction: Interaction) -> Tensor:
        return self.reader(embedded, interaction)
