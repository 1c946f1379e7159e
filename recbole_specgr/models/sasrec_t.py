from __future__ import annotations

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset
from torch import nn

from recbole_specgr.models.text_sequence_recommender import TextSequenceRecommender


class SASRec_T(TextSequenceRecommender):
    """SASRec with a linear projection of the items' text vectors in place of their ids.

    Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018; the text variant as UniSRec (KDD 2022) and
    SpecGR (AAAI 2026) compare with it.
    """

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.adaptor = nn.Linear(self.features.size(1), self.hidden_size)
        self.apply(self._init_weights)
