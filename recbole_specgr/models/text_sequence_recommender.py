"""SASRec's encoder over text vectors, which several models share."""

from __future__ import annotations

import numpy as np
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.layers import TransformerEncoder
from torch import Tensor, nn

from recbole_specgr.backbones.blocks import Dropout
from recbole_specgr.models.text_item_recommender import TextItemRecommender


class TextSequenceRecommender(TextItemRecommender):
    """SASRec (Kang and McAuley, ICDM 2018) over a table of items that is a function of their text vectors.

    Subclasses set `adaptor`, and then call `self.apply(self._init_weights)`.
    """

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.initializer_range = config["initializer_range"]
        self.position_embedding = nn.Embedding(self.max_seq_length, self.hidden_size)
        self.trm_encoder = TransformerEncoder(
            n_layers=config["n_layers"],
            n_heads=config["n_heads"],
            hidden_size=self.hidden_size,
            inner_size=config["inner_size"],
            hidden_dropout_prob=config["hidden_dropout_prob"],
            attn_dropout_prob=config["attn_dropout_prob"],
            hidden_act=config["hidden_act"],
            layer_norm_eps=config["layer_norm_eps"],
        )
        self.LayerNorm = nn.LayerNorm(self.hidden_size, eps=config["layer_norm_eps"])
        self.dropout = Dropout(config["hidden_dropout_prob"])

    def _init_weights(self, module: nn.Module) -> None:
        """As RecBole's SASRec: normal matrices, biases 0."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def read_history(self, embedded: Tensor, interaction: Interaction) -> Tensor:
        items, _ = self.history(interaction)
        return self.states(embedded, items)

    def encode(self, embedded: Tensor, items: Tensor, length: Tensor) -> Tensor:
        """Histories' embeddings `[B, S, hidden_size]` and items `[B, S]` -> the last position's state `[B, hidden]`."""
        return self.gather_indexes(self.states(embedded, items), length - 1)

    def states(self, embedded: Tensor, items: Tensor) -> Tensor:
        """Histories' embeddings and items `[B, S]` -> the state `[B, S, hidden_size]` after each position."""
        embedded = embedded + self.position_embedding.weight[: items.size(1)]
        hidden = self.dropout(self.LayerNorm(embedded))
        return self.trm_encoder(hidden, self.get_attention_mask(items), output_all_encoded_layers=False)[-1]
