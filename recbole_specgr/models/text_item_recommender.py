"""What the models that read histories as sequences of text vectors share: the items' table and an inductive ranking."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.models.contract import cosines
from recbole_specgr.models.histories import ReadsHistories
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.losses import ranking_loss
from recbole_specgr.models.seen_rows import NOT_SEEN
from recbole_specgr.models.text_item_table import TextItemTable
from recbole_specgr.models.vector_ranking import ALL, RanksByVectors


class TextItemRecommender(RanksByVectors, TextItemTable, ReadsHistories):
    """A causal encoder of histories whose item table is a function of the items' frozen text vectors.

    An item that arrives after training is embedded by the same function. The softmax of the loss runs over seen items
    only; each of them is embedded once a step, for the histories and as a candidate. The encoder is causal, so every
    position of a history can be learned in one pass.

    Subclasses set `adaptor`, a module from text vectors `[n, d_text]` to `[n, hidden_size]`, and have `read_history`.
    They may override `item_loss`.

    Attributes:
        by_cosine: users' and items' vectors are brought to unit length before they are multiplied.
        decoding: `unseen_bonus` is added to an unseen item's score. The softmax of the loss has pushed down all seen
            items but the targets, and no unseen one; whether and how much new items gain or lose by that, valid tells.
    """

    by_cosine: bool = False
    inductive = True
    needs = ("text_vectors",)
    trains_on: tuple[str, ...] = ("windows", "rows")
    input_type = InputType.POINTWISE
    compares_items = True

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset)
        self.hidden_size = config["hidden_size"]
        self.ranking_index = config["ranking_index"]
        self.decoding = {"unseen_bonus": config["unseen_bonus"]}
        self.keep_text(text_vectors, dataset.seen)
        self.adaptor: nn.Module = nn.Identity()

    # -- vectors -------------------------------------------------------------------------------------------------------

    def read_history(self, embedded: Tensor, interaction: Interaction) -> Tensor:
        """The state `[B, S, hidden_size]` after each position of the histories.

        Args:
            embedded: their items' rows of the table `[B, S, hidden_size]`, S being the longest history's length.
        """
        raise NotImplementedError

    def project(self, vectors: Tensor) -> Tensor:
        """Bring users' or items' vectors `[n, hidden_size]` into the space in which inner products rank."""
        return F.normalize(vectors, dim=-1) if self.by_cosine else vectors

    def item_loss(self, users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        """The loss of projected users `[n, d]` whose targets `[n]` are rows of the projected items `[m, d]`."""
        return ranking_loss(users, items, targets, self.temperature)

    def map_text(self, features: Tensor) -> Tensor:
        """Text vectors `[n, d_text]` -> `[n, hidden_size]`."""
        mapped: Tensor = self.adaptor(features)
        return mapped

    def item_vectors(self, items: slice = ALL) -> Tensor:
        """Vectors of items `[m, hidden_size]`."""
        return (self.item_directions() if self.by_cosine else self.item_table())[items]

    def alike(self, items: Tensor) -> Tensor:
        """Cosines of the items' text vectors."""
        return cosines(self.features, items)

    def is_unseen(self, items: slice) -> Tensor:
        return self.seen_row[items] == NOT_SEEN

    def user_vectors(self, interaction: Interaction) -> Tensor:
        """Vectors of a batch's users `[B, hidden_size]`."""
        items, length = self.history(interaction)
        states = self.read_history(self.item_table()[items], interaction)
        return self.project(self.gather_indexes(states, length - 1))

    # -- RecBole's contract --------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> Tensor | dict[str, Tensor]:
        """Cross entropy of the targets among seen items, of rows or of windows."""
        items, length = self.history(interaction)
        seen = self.map_text(self.features[self.seen_items])
        table = F.pad(seen, (0, 0, 0, 1))  # padding is read as zeros
        states = self.read_history(table[self.seen_row[items]], interaction)
        users, targets = learned_positions(states, length, interaction[self.ITEM_ID])
        return self.item_loss(self.project(users), self.project(seen), self.seen_row[targets])
