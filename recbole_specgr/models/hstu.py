from __future__ import annotations

import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.models.contract import EmbedsItems
from recbole_specgr.models.histories import ReadsHistories
from recbole_specgr.models.hstu_reader import HSTUReader, item_loss
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.seen_rows import seen_rows
from recbole_specgr.models.vector_ranking import ALL, RanksByVectors


class HSTU(EmbedsItems, RanksByVectors, ReadsHistories):
    """HSTU over items' ids: pointwise gated attention with biases of relative position and time.

    Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
    Recommendations", ICML 2024, in its setting of ranking all items: the vector of a history and those of items are of
    unit length, and the loss is a softmax of their cosines over a temperature, among all seen items or a sample.
    `TextHSTU` is the same over the items' text.
    """

    trains_on = ("windows", "rows")
    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.temperature, self.n_negatives = config["temperature"], config["n_negatives"]
        self.ranking_index = config["ranking_index"]
        self.item_embedding = nn.Embedding(self.n_items, config["hidden_size"], padding_idx=0)
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)
        self.reader = HSTUReader(config, self.max_seq_length)
        self.history_columns = self.reader.history_columns
        seen_items, seen_row = seen_rows(dataset.seen)
        self.register_buffer("seen_items", seen_items, persistent=False)
        self.register_buffer("seen_row", seen_row, persistent=False)

    def states(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """The state after each position of the histories `[B, S, d]`, S being the longest's length, and lengths
        `[B]`."""
        items, length = self.history(interaction)
        return self.reader(self.item_embedding(items), interaction), length

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Cross entropy of the targets among seen items, of rows or of windows."""
        states, length = self.states(interaction)
        users, targets = learned_positions(states, length, interaction[self.ITEM_ID])
        users, items = F.normalize(users, dim=-1), F.normalize(self.item_embedding.weight[self.seen_items], dim=-1)
        return item_loss(users, items, self.seen_row[targets], self.temperature, self.n_negatives)

    def user_vectors(self, interaction: Interaction) -> Tensor:
        states, length = self.states(interaction)
        return F.normalize(self.gather_indexes(states, length - 1), dim=-1)

    def item_vectors(self, items: slice = ALL) -> Tensor:
        return F.normalize(self.item_embedding.weight[items], dim=-1)
