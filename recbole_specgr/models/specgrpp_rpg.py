from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.evaluation.ranking import rank_blocks
from recbole_specgr.models.item_tables import NewItems
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.losses import ranking_loss
from recbole_specgr.models.parallel_recommender import ParallelRecommender, PredictedDigits
from recbole_specgr.models.residual_map import ResidualMap
from recbole_specgr.models.speculative_recommender import SpeculativeRecommender
from recbole_specgr.models.text_item_table import TextItemTable
from recbole_specgr.models.verifying import ReadUsers
from recbole_specgr.semantic_ids import SemanticIds


class SpecGRPP_RPG(SpeculativeRecommender, TextItemTable, ParallelRecommender):
    """SpecGR++ on RPG: one model whose state before the next item drafts it by its text and verifies it by its digits.

    SpecGR++ is Ding et al., AAAI 2026; RPG is Hou et al., KDD 2025; their combination is this project's. Where it
    departs from SpecGR++ on a T5:

    - Users' vectors are the states of the causal transformer. Every position of a history has one, so a pass over a
      window learns to draft at each of them.
    - Items' vectors come from their text and not from their digits, for digits tell little about new items.
    - The contrast is with all seen items (Eq. 4 with every seen item in the batch) from the beginning, since their
      vectors cost one map a step. So there is one stage, and no fine-tuning with frozen vectors after it.
    - With `read_text` the transformer reads the items' text vectors beside their digits, as LIGER's encoder does.

    The loss is `drafting_weight * L_CE + L_Gen`, L_Gen being RPG's.
    """

    needs = ("semantic_ids", "text_vectors")
    item_tables = (*ParallelRecommender.item_tables, *TextItemTable.item_tables)

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, semantic_ids, beside_text=config["read_text"])
        self.keep_text(text_vectors, self.seen)
        width, d_text = config["hidden_size"], self.features.size(1)
        self.item_map = ResidualMap(d_text, width, config["map_size"], config["map_dropout_prob"])
        self.item_map.centre.copy_(self.features[self.seen_items].mean(0))
        self.read_text = config["read_text"]
        self.drafting_weight, self.draft_pool_size = config["drafting_weight"], config["draft_pool"]
        self.drafting_temperature = config["drafting_temperature"]
        self.decoding = self.read_decoding(config)
        self.list_length = max(config["topk"])

    # -- vectors -------------------------------------------------------------------------------------------------------

    def map_text(self, features: Tensor) -> Tensor:
        """Text vectors `[n, d_text]` -> `[n, width]`."""
        mapped: Tensor = self.item_map(features)
        return mapped

    def embed(self, items: Tensor, text: Tensor | None = None) -> Tensor:
        """Items `[B, S]` -> what is read `[B, S, width]`. `text`: theirs, mapped, where it is at hand."""
        digits = super().embed(items)
        if not self.read_text:
            return digits
        return digits + (self.item_table()[items] if text is None else text)

    # -- training ------------------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        """`drafting_weight * L_CE` and `L_Gen` of the targets, of rows or of windows."""
        items, length = self.history(interaction)
        seen = self.map_text(self.features[self.seen_items])
        table = F.pad(seen, (0, 0, 0, 1))  # padding is read as zeros
        states = self.transformer(self.embed(items, table[self.seen_row[items]]))
        states, targets = learned_positions(states, length, interaction[self.ITEM_ID])
        users, vectors = F.normalize(states, dim=-1), F.normalize(seen, dim=-1)
        drafting = ranking_loss(users, vectors, self.seen_row[targets], self.drafting_temperature)
        return {"ranking": self.drafting_weight * drafting, "generation": self.digit_loss(states, targets)}

    # -- inference -----------------------------------------------------------------------------------------------------

    @property
    def verifier(self) -> SpecGRPP_RPG:
        return self

    def drafting_scores(self, states: Tensor, items: slice = slice(None)) -> Tensor:
        """Cosines of states `[B, width]` to the mapped text of a stretch of the items over the temperature `[B, m]`."""
        return F.normalize(states, dim=-1) @ self.item_directions()[items].T / self.drafting_temperature

    def draft_scores(self, interaction: Interaction, users: ReadUsers) -> Tensor:
        assert isinstance(users, PredictedDigits)
        return self.drafting_scores(users.states)

    def draftable(self, users: ReadUsers, candidates: Tensor) -> tuple[Tensor | None, Tensor]:
        if not self.draft_pool_size:
            return super().draftable(users, candidates)
        assert isinstance(users, PredictedDigits)
        states, size = users.states, min(self.draft_pool_size, int(candidates.sum()))
        return rank_blocks(lambda items: self.drafting_scores(states, items), len(states), size, candidates)

    # -- items that arrive later ---------------------------------------------------------------------------------------

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {**ParallelRecommender.new_rows(self, new), **TextItemTable.new_rows(self, new)}
