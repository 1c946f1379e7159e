"""What every model over semantic ids shares: the ids, the T5, its input sequences and the candidates' index."""

from __future__ import annotations

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor

from recbole_specgr.backbone import T5, T5Config
from recbole_specgr.backbone.token_tree import Memory
from recbole_specgr.data.text_features import load_text_features
from recbole_specgr.semantic_ids import load_semantic_ids
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


class GenerativeRecommender(SequentialRecommender):
    """A T5 over semantic ids.

    Subclasses give a loss and a ranking; this gives them

    Attributes:
        tokens: semantic ids as vocabulary tokens `[n_items, n_digits]`, row 0 padding.
        seen: items of the training data `[n_items]`.
        level_slices: each digit's part of the vocabulary.
        backbone: the T5.
    """

    inductive = True
    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        ids = load_semantic_ids(config, dataset, load_text_features(config, dataset))
        self.bos, self.eos = ids.bos, ids.eos
        self.level_slices = [slice(first, end) for first, end in ids.level_slices]
        self.register_buffer("tokens", ids.tokens)
        self.register_buffer("seen", dataset.seen.clone())
        self.num_beams = config["num_beams"]
        self.backbone = T5(
            T5Config(
                vocab_size=ids.vocab_size,
                d_model=config["d_model"],
                d_kv=config["d_kv"],
                d_ff=config["d_ff"],
                num_layers=config["num_layers"],
                num_decoder_layers=config["num_layers"],
                num_heads=config["num_heads"],
                dropout_rate=config["dropout_rate"],
            )
        )
        self._index: tuple[Tensor, PrefixIndex] | None = None

    def history_tokens(self, interaction: Interaction) -> Tensor:
        """Eq. 1: `[bos, ids of the history, eos]`, padded to the longest history of the batch, `[B, S]`."""
        length = interaction[self.ITEM_SEQ_LEN]
        items = interaction[self.ITEM_SEQ][:, : int(length.max())]
        return self.item_tokens(items, length)

    def item_tokens(self, items: Tensor, length: Tensor) -> Tensor:
        """`[bos, ids of the first `length` items, eos]` for items `[B, n]`, right-padded: `[B, n * digits + 2]`."""
        body = self.tokens[items].flatten(1)
        tokens = torch.nn.functional.pad(body, (1, 1))
        tokens[:, 0] = self.bos
        return tokens.scatter_(1, (1 + length * self.tokens.size(1))[:, None], self.eos)

    def generation_loss(self, encoded: Tensor, tokens: Tensor, targets: Tensor) -> Tensor:
        """Eq. 5 for target items `[B]`."""
        return self.backbone.loss(encoded, tokens, self.tokens[targets])

    def memory(self, interaction: Interaction) -> tuple[Tensor, Tensor, Memory]:
        """The histories' tokens `[B, S]`, their encoding `[B, S, d_model]` and what the decoder reads of it."""
        tokens = self.history_tokens(interaction)
        encoded = self.backbone.encode(tokens)
        return tokens, encoded, self.backbone.memory(tokens, encoded)

    def index(self, candidates: Tensor | None) -> PrefixIndex:
        """The prefix index of the candidates `[n_items]`; the last one is kept."""
        if candidates is None:
            candidates = torch.ones_like(self.seen)
        if self._index is None or not (self._index[0] is candidates or torch.equal(self._index[0], candidates)):
            self._index = candidates, PrefixIndex(self.tokens, candidates)
        return self._index[1]
