from __future__ import annotations

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset
from torch import nn

from recbole_specgr.models.residual_map import ResidualMap
from recbole_specgr.models.text_sequence_recommender import TextSequenceRecommender


class TextSASRec(TextSequenceRecommender):
    """SASRec over a small map of the items' text vectors, ranked by the cosine over a temperature.

    SASRec is Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; to rank by the cosine of mapped
    text is UniSRec's (Hou et al., KDD 2022). In place of UniSRec's mixture of eight experts there is one linear map
    with a two-layer residual, of text vectors that are centred and of unit length. At their default sizes it takes a
    fifth of the mixture's multiplications. The model is this project's, and meant as a drafter for SpecGR.
    """

    by_cosine = True

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.temperature = config["temperature"]
        width = self.features.size(1)
        self.adaptor = ResidualMap(width, self.hidden_size, config["map_size"], config["map_dropout_prob"])
        self.apply(self._init_weights)
        nn.init.normal_(self.adaptor.linear.weight, std=width**-0.5)
        self.adaptor.centre.copy_(self.features[self.seen_items].mean(0))
