from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_specgr.backbones import T5
from recbole_specgr.backbones.blocks import Dropout
from recbole_specgr.evaluation.ranking import blocks, rank_blocks
from recbole_specgr.models.contract import RankedList, Users
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender
from recbole_specgr.models.item_tables import NewItems
from recbole_specgr.models.losses import ranking_loss
from recbole_specgr.models.seen_rows import rows_of_new, seen_rows
from recbole_specgr.semantic_ids import SemanticIds


class LIGER(GenerativeRecommender):
    """Generative and dense retrieval in one model: what it generates, and all new items, ranked by dense scores.

    Yang et al., "Unifying Generative and Dense Retrieval for Sequential Recommendation", 2024. A digit of the history
    is read as the sum of its embedding, its item's projected text, the item's position and the digit's. The encoder's
    output at the last digit is the user's vector, the projected text an item's. The losses are the next id's and the
    cross entropy of the cosines over the seen items. It is an encoder-decoder: the decoder writes ids without text, so
    that in one stream the same item would be read with its text and written without.
    """

    needs = ("semantic_ids", "text_vectors")
    architectures = ("encoder_decoder",)
    backbone: T5
    decoding_keys = ("num_beams", "num_generated")
    scores_digits = False
    item_tables = (*GenerativeRecommender.item_tables, "features", "seen_row")
    item_caches = ("_projected",)

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, semantic_ids)
        self.temperature, self.dense_weight = config["temperature"], config["dense_weight"]
        features = torch.from_numpy(text_vectors)
        # Not saved: they are the data set's, and its next version may have more items.
        self.scale = Scale(features[dataset.seen])
        self.register_buffer("features", F.pad(self.scale(features[1:]), (0, 0, 1, 0)), persistent=False)
        seen_items, seen_row = seen_rows(dataset.seen)
        self.register_buffer("seen_items", seen_items, persistent=False)
        self.register_buffer("seen_row", seen_row, persistent=False)
        d_model = config["d_model"]
        self.projection = projection(features.size(1), config["projection_sizes"], d_model, config["input_dropout"])
        self.item_position = nn.Embedding(self.max_seq_length, d_model)
        self.digit_position = nn.Embedding(self.tokens.size(1), d_model)
        self.input_norm, self.input_dropout = nn.LayerNorm(d_model), Dropout(config["embedding_dropout"])
        self._projected: Tensor | None = None

    # -- vectors -------------------------------------------------------------------------------------------------------

    def history_ids(self, items: Tensor, length: Tensor) -> Tensor:
        """The ids of the items `[B, n]` without special tokens: `[B, n * digits]`."""
        return self.tokens[items].flatten(1)

    def embed(self, items: Tensor, tokens: Tensor, text: Tensor) -> Tensor:
        """The encoder's input for items `[B, n]`, their tokens and projected text `[B, n, d]`: `[B, n * digits, d]`."""
        position = self.item_position.weight[: items.size(1)]
        of_item = (text + position)[:, :, None] + self.digit_position.weight
        return self.input_dropout(self.input_norm(self.backbone.embedding(tokens) + of_item.flatten(1, 2)))

    def encode(self, interaction: Interaction, projected: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens of the histories `[B, S]` and their encoding `[B, S, d_model]`.

        Args:
            projected: the projected text of the histories' items `[B, n, d]`; None looks it up.
        """
        items, length = self.history(interaction)
        tokens = self.history_ids(items, length)
        if projected is None:
            projected = self.projected_text()[items]
        return tokens, self.backbone.encode(tokens, self.embed(items, tokens, projected))

    def user_vectors(self, tokens: Tensor, encoded: Tensor) -> Tensor:
        """Unit vectors `[B, d]`: the encoding `[B, S, d]` of the last digit of each history."""
        last = (tokens != 0).sum(1) - 1
        return F.normalize(encoded[torch.arange(len(encoded), device=encoded.device), last], dim=1)

    @torch.no_grad()
    def projected_text(self, chunk: int = 8192) -> Tensor:
        """Projected text of all items `[n_items, d]`; kept until the parameters may change."""
        if self._projected is None:
            self._projected = torch.cat([self.projection(part) for part in self.features.split(chunk)])
        return self._projected

    def item_vectors(self, items: slice) -> Tensor:
        """Unit vectors of a stretch of the items `[m, d]`."""
        return F.normalize(self.projected_text()[items], dim=1)

    def train(self, mode: bool = True) -> LIGER:
        self._projected = None
        return super().train(mode)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._projected = None

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        own = {"features": self.scale(new.features), "seen_row": rows_of_new(len(new))}
        return super().new_rows(new) | own

    def new_cache_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"_projected": self.projection(self.scale(new.features.to(self.features)))}

    # -- training ------------------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        """Both losses; each seen item's text is projected once a step, for the histories and for the cosines."""
        targets = interaction[self.ITEM_ID]
        projected = self.projection(self.features[self.seen_items])
        items, _ = self.history(interaction)
        tokens, encoded = self.encode(interaction, projected[self.seen_row[items]])
        users, vectors = self.user_vectors(tokens, encoded), F.normalize(projected, dim=1)
        dense = ranking_loss(users, vectors, self.seen_row[targets], self.temperature)
        return {
            "generation": self.backbone.loss(encoded, tokens, self.tokens[targets]),
            "dense": self.dense_weight * dense,
        }

    # -- inference -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        """The dense scores of given items `[B, n]`; -inf beside -1."""
        vectors, everything = self.user_vectors(*self.encode(interaction)), self.item_vectors(slice(None))
        given = items.clamp(min=0)
        parts = [(vectors[part] @ everything.T).gather(1, given[part]) for part in blocks(len(items), self.n_items)]
        return torch.cat(parts).masked_fill(items < 0, -torch.inf)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The scores are the dense ones."""
        nothing = users.interaction[self.ITEM_SEQ][:, :0]
        return self.rank_without(users, k, candidates, nothing)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """Others are generated in the place of what is left out."""
        assert isinstance(users, EncodedUsers)
        index, n = self.index(candidates), self.decoding["num_generated"]
        num_beams = max(self.decoding["num_beams"], n)
        generated = users.once(
            (n, num_beams, left_out.size(1) > 0),
            lambda: self.beam_search(users, index, n, num_beams, left_out=left_out)[0],
        )
        vectors, new = self.user_vectors(users.tokens, users.encoded), candidates & ~self.seen

        def columns(items: Tensor, block: slice) -> Tensor:
            """Where items `[B, n]` stand in a block; the column behind it for those that do not, and for -1 and 0."""
            inside = (items >= max(block.start, 1)) & (items < block.stop)
            return torch.where(inside, items - block.start, len(new[block]))

        def scores(block: slice) -> Tensor:
            allowed = F.pad(new[block], (0, 1)).repeat(len(vectors), 1)
            allowed = allowed.scatter(1, columns(generated, block), True)[:, :-1]
            return (vectors @ self.item_vectors(block).T).masked_fill(~allowed, -torch.inf)

        return RankedList(*rank_blocks(scores, len(vectors), k, candidates, left_out))


class Scale:
    """Brings every column to mean 0 and variance 1 over the seen items' `features` `[n, d]`."""

    def __init__(self, features: Tensor) -> None:
        self.mean, self.deviation = features.mean(0), features.std(0, correction=0).clamp(min=1e-6)

    def __call__(self, features: Tensor) -> Tensor:
        """`[n, d]` -> `[n, d]`"""
        return (features - self.mean.to(features)) / self.deviation.to(features)


def projection(d_in: int, hidden: list[int], d_out: int, dropout: float) -> nn.Sequential:
    """Text vectors to the width of the model, through hidden layers."""
    sizes = [d_in, *hidden]
    layers: list[nn.Module] = [Dropout(dropout)]
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), nn.LayerNorm(m), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], d_out))
