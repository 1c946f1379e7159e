from __future__ import annotations

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.backbones.contract import Reader
from recbole_specgr.decoding.nearest import NearestItems
from recbole_specgr.evaluation.ranking import rank_blocks
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender
from recbole_specgr.models.item_tables import NewItems
from recbole_specgr.models.losses import batch_contrast, ranking_loss
from recbole_specgr.models.seen_rows import seen_rows
from recbole_specgr.models.speculative_recommender import SpeculativeRecommender
from recbole_specgr.models.verifying import ReadUsers
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex
from recbole_specgr.system.processes import fraction_of_rows, share_of

EXACT = "Flat"  # faiss' name of the index that compares with all items, which a product of matrices does faster


class SpecGRPP(SpeculativeRecommender, GenerativeRecommender):
    """SpecGR++: a generative recommender whose own backbone drafts, so that it can recommend new items.

    Ding et al., "Inductive Generative Recommendation via Retrieval-based Speculation", AAAI 2026. The T5's encoder, or
    the decoder-only backbone, embeds histories and single items alike. Stage `pretrain` teaches it by in-batch contrast
    beside the generation loss; stage `finetune` freezes the items' vectors and teaches it to rank all seen items. What
    made the frozen vectors stays in the checkpoint: it embeds items that arrive later.
    """

    item_caches = ("_item_vectors",)
    item_encoder: Reader

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds) -> None:
        super().__init__(config, dataset, semantic_ids)
        self.draft_pool_size, self.draft_index = config["draft_pool"], config["draft_index"]
        self._nearest: tuple[PrefixIndex, Tensor, NearestItems] | None = None  # with what it was built from
        self.item_encoder = self.backbone.reader().requires_grad_(False).eval()
        self.register_buffer("items_frozen", torch.tensor(False))
        self._item_vectors: Tensor | None = None
        self._settings = config  # which a stage changes while it is trained
        self._enter("pretrain")

    # -- representations -----------------------------------------------------------------------------------------------

    def embed_items(self, ids: Tensor, encoder: Reader) -> Tensor:
        """Vectors of single items with the semantic ids `[n, n_digits]` (paper, "Semantic ID-based item and sequence
        representations"): `[n, d]`."""
        tokens = torch.nn.functional.pad(ids, (1, 1))
        tokens[:, 0], tokens[:, -1] = self.bos, self.eos
        return encoder.vectors(tokens)

    def embed_trained(self, items: Tensor) -> Tensor:
        """Vectors of `items` `[n]` by the encoder that is trained: `[n, d]`."""
        return self.embed_items(self.tokens[items], self.backbone)

    @torch.no_grad()
    def frozen_vectors(self, ids: Tensor, chunk: int = 4096) -> Tensor:
        """`embed_items` by the encoder that drafts, without dropout."""
        encoder: Reader = self.item_encoder if self.items_frozen else self.backbone
        training = encoder.training
        encoder.eval()
        vectors = torch.cat([self.embed_items(part, encoder) for part in ids.split(chunk)])
        encoder.train(training)
        return vectors

    def item_vectors(self) -> Tensor:
        """Vectors of all items `[n_items, d]`, the padding item's being 0; kept until the encoder changes."""
        if self._item_vectors is None:
            self._item_vectors = torch.nn.functional.pad(self.frozen_vectors(self.tokens[1:]), (0, 0, 1, 0))
        return self._item_vectors

    def new_cache_rows(self, new: NewItems) -> dict[str, Tensor]:
        assert new.tokens is not None, "it has semantic ids"
        return {"_item_vectors": self.frozen_vectors(new.tokens.to(self.tokens))}

    def _enter(self, stage: str) -> None:
        """Take over what the loss of a stage depends on, from the settings that are in place."""
        self.stage, settings = stage, self._settings
        self.temperature, self.train_batch_size = settings["temperature"], settings["train_batch_size"]
        self.contrastive_weight, self.ranking_weight = settings["contrastive_weight"], settings["ranking_weight"]
        self.compares_rows = stage == "pretrain" and bool(self.contrastive_weight)

    def start_stage(self, stage: str) -> None:
        """Fine-tuning begins with a copy of the encoder, from which the items' vectors come from then on."""
        self._enter(stage)
        if stage == "finetune" and not self.items_frozen:
            state = self.backbone.state_dict()
            self.item_encoder.load_state_dict({name: state[name] for name in self.item_encoder.state_dict()})
            self.items_frozen.fill_(True)
            self._item_vectors = None

    def train(self, mode: bool = True) -> SpecGRPP:
        super().train(mode)
        self.item_encoder.eval()
        if not self.items_frozen:
            self._item_vectors = None
        return self

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._item_vectors = None

    # -- training ------------------------------------------------------------------------------------------------------

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        """`lambda_1 L_CL + L_Gen`, then `lambda_2 L_CE + L_Gen`; one pass over the histories serves both terms.

        Of rows, the first `train_batch_size` of a batch of all processes take part in both losses, further ones in the
        contrast and the ranking only. A loss is weighted as if it were a mean over the former. Of windows, every target
        takes part in both, and a user's targets are no negatives of each other.
        """
        in_rows = interaction[self.ITEM_ID].dim() == 1
        part = slice(share_of(self.train_batch_size)) if in_rows else slice(None)
        if self.stage == "pretrain" and not self.contrastive_weight:
            interaction = interaction[part]
        learned, targets = self.training_pass(interaction)
        losses = {}
        if self.stage == "finetune":
            seen_items, seen_row = seen_rows(self.seen)
            loss = ranking_loss(learned.vectors, self.item_vectors()[seen_items], seen_row[targets], self.temperature)
            weight = self.ranking_weight * fraction_of_rows(len(targets)) / fraction_of_rows(len(targets[part]))
            losses["ranking"] = weight * loss
        elif self.contrastive_weight:
            owners = None if in_rows else self.owners(interaction, len(targets))
            loss = batch_contrast(learned.vectors, targets, self.embed_trained, self.temperature, owners)
            losses["contrastive"] = self.contrastive_weight * loss
        losses["generation"] = learned.loss(part)
        return losses

    def owners(self, windows: Interaction, count: int) -> Tensor:
        """The users of all `count` targets of a batch of windows `[count]`, in the targets' order."""
        targets = (windows[self.ITEM_ID] > 0).sum(1)
        owners: Tensor = windows[self.USER_ID].repeat_interleave(targets, output_size=count)
        return owners

    # -- inference -----------------------------------------------------------------------------------------------------

    @property
    def verifier(self) -> SpecGRPP:
        return self

    def draft_scores(self, interaction: Interaction, users: ReadUsers) -> Tensor:
        """Cosines of the histories' vectors to the items'."""
        assert isinstance(users, EncodedUsers)
        return users.vectors @ self.item_vectors().T

    def draftable(self, users: ReadUsers, candidates: Tensor) -> tuple[Tensor | None, Tensor]:
        if not self.draft_pool_size:
            return super().draftable(users, candidates)
        assert isinstance(users, EncodedUsers)
        index, vectors, size = self.index(candidates), self.item_vectors(), self.draft_pool_size
        own = users.vectors
        if self.draft_index == EXACT:
            return rank_blocks(lambda items: own @ vectors[items].T, len(own), min(size, len(index.items)), candidates)
        if self._nearest is None or self._nearest[0] is not index or self._nearest[1] is not vectors:
            self._nearest = index, vectors, NearestItems(vectors, index.items, self.draft_index)
        return self._nearest[2].search(own, size)
