"""What the models that read histories as sequences of text vectors share: SASRec's encoder and an inductive ranking."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.layers import TransformerEncoder
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.vector_ranking import ALL, RanksByVectors


class TextSequenceRecommender(ItemTables, RanksByVectors, SequentialRecommender):
    """SASRec (Kang and McAuley, ICDM 2018) whose item table is a function of the items' frozen text vectors.

    An item that arrives after training is embedded by the same function. The softmax of the loss runs over seen items
    only; each of them is embedded once a step, for the histories and as a candidate. The encoder is causal, so every
    position of a history can be learned in one pass.

    Subclasses set `adaptor`, a module from text vectors `[n, d_text]` to `[n, hidden_size]`, and then call
    `self.apply(self._init_weights)`. They may override `project`.

    Attributes:
        features: text vectors `[n_items, d_text]`, row 0 zeros.
    """

    inductive = True
    needs = ("text_vectors",)
    trains_on: tuple[str, ...] = ("windows", "rows")
    input_type = InputType.POINTWISE
    item_tables = ("features", "seen_row")
    item_caches = ("_table",)

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset)
        self.hidden_size = config["hidden_size"]
        self.initializer_range = config["initializer_range"]
        self.ranking_index = config["ranking_index"]
        # Not saved: they are the data set's, and its next version may have more items.
        self.register_buffer("features", torch.from_numpy(text_vectors), persistent=False)
        seen = dataset.seen.nonzero().squeeze(1)
        row = torch.zeros(self.n_items, dtype=torch.long)
        row[seen] = torch.arange(1, len(seen) + 1)
        self.register_buffer("seen_items", seen, persistent=False)
        self.register_buffer("seen_row", row, persistent=False)  # 1-based among the seen, 0 for all others
        self.adaptor: nn.Module = nn.Identity()
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
        self.dropout = nn.Dropout(config["hidden_dropout_prob"])
        self._table: Tensor | None = None

    def _init_weights(self, module: nn.Module) -> None:
        """As RecBole's SASRec: normal matrices, biases 0."""
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    # -- vectors -------------------------------------------------------------------------------------------------------

    def project(self, vectors: Tensor) -> Tensor:
        """Bring users' or items' vectors `[n, hidden_size]` into the space in which inner products rank."""
        return vectors

    def encode(self, embedded: Tensor, items: Tensor, length: Tensor) -> Tensor:
        """Histories' embeddings `[B, S, hidden_size]` and items `[B, S]` -> the last position's state `[B, hidden]`."""
        return self.gather_indexes(self.states(embedded, items), length - 1)

    def states(self, embedded: Tensor, items: Tensor) -> Tensor:
        """Histories' embeddings and items `[B, S]` -> the state `[B, S, hidden_size]` after each position."""
        embedded = embedded + self.position_embedding.weight[: items.size(1)]
        hidden = self.dropout(self.LayerNorm(embedded))
        return self.trm_encoder(hidden, self.get_attention_mask(items), output_all_encoded_layers=False)[-1]

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Items `[B, S]`, cut to the longest history of the batch, and lengths `[B]`."""
        length = interaction[self.ITEM_SEQ_LEN]
        return interaction[self.ITEM_SEQ][:, : int(length.max())], length

    @torch.no_grad()
    def item_table(self, chunk: int = 8192) -> Tensor:
        """Adapted text of all items `[n_items, hidden_size]`, row 0 zeros; kept until the parameters may change."""
        if self._table is None:
            table = torch.cat([self.adaptor(part) for part in self.features.split(chunk)])
            table[0] = 0
            self._table = table
        return self._table

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"features": new.features, "seen_row": torch.zeros(len(new), dtype=torch.long)}

    def new_cache_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"_table": self.adaptor(new.features.to(self.features))}

    def item_vectors(self, items: slice = ALL) -> Tensor:
        """Vectors of items `[m, hidden_size]`."""
        return self.project(self.item_table()[items])

    def user_vectors(self, interaction: Interaction) -> Tensor:
        """Vectors of a batch's users `[B, hidden_size]`."""
        items, length = self.history(interaction)
        return self.project(self.encode(self.item_table()[items], items, length))

    def train(self, mode: bool = True) -> TextSequenceRecommender:
        self._table = None
        return super().train(mode)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._table = None

    # -- RecBole's contract --------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> Tensor | dict[str, Tensor]:
        """Cross entropy of the targets among all seen items, of rows or of windows."""
        items, length = self.history(interaction)
        seen = self.adaptor(self.features[self.seen_items])
        table = F.pad(seen, (0, 0, 1, 0))
        states = self.states(table[self.seen_row[items]], items)
        users, targets = learned_positions(states, length, interaction[self.ITEM_ID])
        logits = self.project(users) @ self.project(seen).T / self.temperature
        return F.cross_entropy(logits, self.seen_row[targets] - 1)
