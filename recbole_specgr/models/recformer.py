from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.backbones.longformer import load_longformer
from recbole_specgr.backbones.t5 import at_least_float32
from recbole_specgr.items.items import Items
from recbole_specgr.models.contract import Part, Pretrained
from recbole_specgr.models.histories import ReadsHistories
from recbole_specgr.models.item_tables import ItemTables, NewItems, copy_for_use
from recbole_specgr.models.losses import batch_contrast, ranking_loss
from recbole_specgr.models.seen_rows import rows_of_new, seen_rows
from recbole_specgr.models.vector_ranking import ALL, RanksByVectors
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.attribute_tokens import PAD, START, special_id, tokenize

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LongformerModel

ITEM_POSITIONS = 51  # of the published checkpoint: the start token and 50 items


class Recformer(RanksByVectors, ItemTables, ReadsHistories):
    """A language model reads the history as text and finds the next item by its text.

    Li et al., "Text Is All You Need: Learning Language Representations for Sequential Recommendation", KDD 2023. Items
    are key-value attributes; a Longformer reads them, the latest first, with embeddings of the item's position and of
    the token's type, and its first output is the vector of a history or of a single item.

    Fine-tuning has two stages, as there: in `first` the items are encoded anew before every epoch; in `second` the
    vectors stay that the best epoch was trained with. Either way they are constants of the loss, a cross entropy of the
    cosines over all seen items. They have to differ to begin with, so there is the paper's pre-training before, by
    in-batch contrast of histories and next items; its masked language model is left out.

    `longformer` names a pre-trained Longformer (the hub's name or a path), `pretrained` a file with the published
    weights of Recformer itself, which need no pre-training. Without them a small model with a tokenizer of its own is
    trained from scratch.

    An item that arrives later is encoded by the language model as it is at the end of training. The vectors of the
    others may be older.
    """

    inductive = True
    needs = ("attributes", "attribute_tokenizer")
    input_type = InputType.POINTWISE
    item_tables = ("words", "types", "seen_row", "item_table")

    @classmethod
    def build(cls, config: Config, dataset: Dataset, items: Items, parts: Mapping[str, Part]) -> Recformer:
        assert items.attribute_tokenizer is not None, "it is among what the model needs"
        longformer = load_longformer(config, items.attribute_tokenizer)
        return cls(config, dataset, **items.chosen(cls.needs), longformer=longformer)

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        attributes: dict[str, list[str]],
        attribute_tokenizer: Tokenizer,
        longformer: LongformerModel,
    ) -> None:
        super().__init__(config, dataset)
        self.max_tokens, self.temperature = config["max_tokens"], config["temperature"]
        self.ranking_index = config["ranking_index"]
        self.window = config["attention_window"]
        self.pad, self.start = special_id(attribute_tokenizer, "pad"), special_id(attribute_tokenizer, "start")
        self.item_padding = {"words": self.pad, "types": PAD}
        self.tokenize = partial(
            tokenize,
            tokenizer=attribute_tokenizer,
            max_attributes=config["max_attributes"],
            max_attribute_length=config["max_attribute_length"],
        )
        tokens = self.tokenize(attributes)
        self.register_buffer("words", tokens.words, persistent=False)
        self.register_buffer("types", tokens.types, persistent=False)
        seen_items, seen_row = seen_rows(dataset.seen)
        self.register_buffer("seen_items", seen_items, persistent=False)
        self.register_buffer("seen_row", seen_row, persistent=False)

        self.longformer = longformer
        width = self.longformer.config.hidden_size
        self.item_position = nn.Embedding(max(ITEM_POSITIONS, self.max_seq_length + 1), width)
        nn.init.normal_(self.item_position.weight, std=self.longformer.config.initializer_range)
        self.register_buffer("item_table", torch.zeros(self.n_items, width))
        self.register_buffer("is_encoded", torch.tensor(False))
        self.stage, self.compares_rows = "pretrain", True

    # -- the language model --------------------------------------------------------------------------------------------

    def read(self, items: Tensor, length: Tensor) -> Tensor:
        """Unit vectors of sequences of items `[B, n]`, of which the first `length` `[B]` count, the latest last."""
        words, types, position = self.sequence(items, length)
        real = words != self.pad
        embedded = self.longformer.embeddings.word_embeddings(words) + self.item_position(position)
        attends_to_all = torch.zeros_like(words)
        attends_to_all[:, 0] = 1
        output = self.longformer(
            inputs_embeds=embedded,
            attention_mask=real.long(),
            global_attention_mask=attends_to_all,
            token_type_ids=types,
            position_ids=real.cumsum(1) * real + self.pad,
        )
        return F.normalize(at_least_float32(output.last_hidden_state[:, 0]), dim=1)

    def sequence(self, items: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, their types and their items' positions, each `[B, S]`: the start token, then the items from the
        latest to the earliest, cut to `max_tokens` and padded to a multiple of the attention window."""
        order = length[:, None] - 1 - torch.arange(items.size(1), device=items.device)
        items = items.gather(1, order.clamp(min=0)).masked_fill(order < 0, 0)
        words, types = self.words[items].flatten(1), self.types[items].flatten(1)
        position = torch.arange(1, items.size(1) + 1, device=items.device).repeat_interleave(self.words.size(1))
        real = words != self.pad
        together = (~real).to(torch.uint8).argsort(dim=1, stable=True)  # tokens first, padding last
        count = real.sum(1).clamp(max=self.max_tokens - 1)
        size = -(-(1 + int(count.max())) // self.window) * self.window
        kept = F.pad(torch.arange(together.size(1), device=items.device) < count[:, None], (1, 0))
        columns = []
        for values, first, fill in ((words, self.start, self.pad), (types, START, PAD), (position, 0, 0)):
            values = F.pad(values.expand_as(words).gather(1, together), (1, 0)).masked_fill(~kept, fill)
            values[:, 0] = first
            columns.append(F.pad(values[:, :size], (0, size - min(size, values.size(1))), value=fill))
        return columns[0], columns[1], columns[2]

    @torch.no_grad()
    def item_vectors(self, items: slice = ALL, chunk: int = 256) -> Tensor:
        """Vectors of items `[m, d]`, the padding item's being 0; those of all items are kept as the stage wants it."""
        if not self.is_encoded:
            self.longformer.eval()
            everything = torch.arange(1, self.n_items, device=self.words.device)
            for part in everything.split(chunk):
                self.item_table[part] = self.read(part[:, None], torch.ones_like(part))
            self.longformer.train(self.training)
            self.is_encoded.fill_(True)
        return self.item_table[items]

    def embed_items(self, items: Tensor) -> Tensor:
        """Vectors of single `items` `[n]` by the Longformer as it is: `[n, d]`."""
        return self.read(items[:, None], torch.ones_like(items))

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        if new.attributes is None:
            raise UserError("Recformer reads the text of items: give the new items' text, and not only vectors of it.")
        tokens, device = self.tokenize(new.attributes), self.words.device
        reader = copy_for_use(self)
        reader.words, reader.types = tokens.words.to(device), tokens.types.to(device)
        parts = torch.arange(len(new), device=device).split(256)
        return {
            "words": tokens.words,
            "types": tokens.types,
            "seen_row": rows_of_new(len(new)),
            "item_table": torch.cat([reader.embed_items(part) for part in parts]),
        }

    def user_vectors(self, interaction: Interaction) -> Tensor:
        """Vectors of a batch's users `[B, d]`."""
        return self.read(*self.history(interaction))

    # -- stages --------------------------------------------------------------------------------------------------------

    def start_stage(self, stage: str) -> None:
        self.stage, self.compares_rows = stage, stage == "pretrain"

    def train(self, mode: bool = True) -> Recformer:
        if mode and self.stage != "second":
            self.is_encoded.fill_(False)
        return super().train(mode)

    def start_from(self, pretrained: Pretrained) -> None:
        """Take over Recformer's published weights (`RecformerModel` or `RecformerForSeqRec`).

        Raises:
            UserError: they are of a model of another size.
        """
        theirs = {name.rpartition("longformer.")[2]: value for name, value in pretrained.state.items()}
        ours = {name: f"longformer.{name}" for name in self.longformer.state_dict()}
        ours["embeddings.item_position_embeddings.weight"] = "item_position.weight"
        sizes = {name: value.shape for name, value in self.state_dict().items()}
        wrong = [name for name, own in ours.items() if name not in theirs or theirs[name].shape != sizes[own]]
        if wrong:
            raise UserError(
                f"[pretrained: {pretrained.path}] does not fit: {wrong[0]} (and {len(wrong) - 1} more) is missing or "
                f"of another size. Name the Longformer it was made from: --longformer=allenai/longformer-base-4096"
            )
        self.load_state_dict({own: theirs[name] for name, own in ours.items()}, strict=False)

    # -- the contract --------------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Cross entropy of the target among all seen items; in pre-training among the batch's targets."""
        targets = interaction[self.ITEM_ID]
        if self.stage == "pretrain":
            return batch_contrast(self.user_vectors(interaction), targets, self.embed_items, self.temperature)
        items = self.item_vectors()[self.seen_items]
        return ranking_loss(self.user_vectors(interaction), items, self.seen_row[targets], self.temperature)
