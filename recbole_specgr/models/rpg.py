from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.backbones.causal_transformer import CausalTransformer
from recbole_specgr.decoding.checks import check_probabilities
from recbole_specgr.decoding.graph_search import ItemGraph, graph_search
from recbole_specgr.decoding.parallel_digits import log_likelihood, log_likelihood_of_all
from recbole_specgr.decoding.parallel_verification import ParallelVerification
from recbole_specgr.decoding.verification import VerificationSettings
from recbole_specgr.evaluation.ranking import SCORES_AT_ONCE, rank_blocks
from recbole_specgr.models.contract import RankedList, ScoresItems, Users
from recbole_specgr.models.explaining import Digit, Reasons
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.verifying import ReadUsers, Verifier
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.system.errors import UserError

DECODING_KEYS = ("unseen_bonus", "graph_search", "graph_beam", "graph_steps")


@dataclass
class PredictedDigits(ReadUsers):
    """What the model predicts of the next items of B users.

    Attributes:
        log_probs: of each code of each digit `[B, L, C]`.
    """

    log_probs: Tensor

    @property
    def memory(self) -> Tensor:
        return self.log_probs


class RPG(ItemTables, Verifier, ScoresItems, SequentialRecommender):
    """RPG: long semantic ids whose digits are all predicted at once.

    Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025. An item is the mean of its
    digits' embeddings, a causal transformer reads a history of items, and each digit of the next item has a head. An
    item's score is the mean log-probability of its digits (theirs is the sum, which ranks alike), whether it was seen
    in training or not. The identification digit of the table of ids is not read: items of equal codes are equal here.

    Attributes:
        codes: of all items `[n_items, L]`, row 0 zeros.
        seen: items of the training data `[n_items]`.
        decoding: `unseen_bonus` is added to an unseen item's score; `graph_search` ranks by the graph-guided search in
            place of all items, from `graph_beam` items in `graph_steps` steps.
    """

    inductive = True
    needs = ("semantic_ids",)
    trains_on = ("windows", "rows")
    input_type = InputType.POINTWISE
    item_tables = ("codes", "seen")

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds) -> None:
        super().__init__(config, dataset)
        sizes = semantic_ids.level_sizes[:-1]
        if len(set(sizes)) > 1:
            raise UserError(
                f"RPG wants as many codes on every level, but the semantic ids have {'/'.join(map(str, sizes))}. Take "
                f"a tokenizer whose levels are alike, such as --tokenizer.method=opq."
            )
        width, (digits, size) = config["hidden_size"], (len(sizes), sizes[0])
        if width % config["n_heads"]:
            raise UserError(
                f"hidden_size [{width}] must be a multiple of n_heads [{config['n_heads']}], for every head has an "
                f"equal share of it."
            )
        self.first_tokens = [first for first, _ in semantic_ids.level_slices[:-1]]
        self.register_buffer("codes", semantic_ids.codes[:, :-1].contiguous())
        self.register_buffer("seen", dataset.seen.clone())
        self.digit_embedding = nn.Parameter(torch.empty(digits, size, width))
        self.transformer = CausalTransformer(
            width, config["n_layers"], config["n_heads"], config["inner_size"], self.max_seq_length, config["dropout"]
        )
        self.heads = DigitHeads(digits, width, config["temperature"])
        nn.init.normal_(self.digit_embedding, std=0.02)
        self.decoding = {key: config[key] for key in DECODING_KEYS}
        self.graph_edges = config["graph_edges"]
        self._graph: tuple[Tensor, ItemGraph] | None = None  # of the candidates that were ranked last
        self._items: tuple[Tensor, Tensor] | None = None  # these candidates, and what they are

    # -- reading histories ---------------------------------------------------------------------------------------------

    def embed(self, items: Tensor) -> Tensor:
        """Items `[B, S]` -> the means of their digits' embeddings `[B, S, width]`."""
        digits, size, _ = self.digit_embedding.shape
        rows = self.codes[items.flatten()] + torch.arange(digits, device=items.device) * size
        return F.embedding_bag(rows, self.digit_embedding.flatten(0, 1), mode="mean").unflatten(0, items.shape)

    def history(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Items `[B, S]`, cut to the longest history of the batch, and lengths `[B]`."""
        length = interaction[self.ITEM_SEQ_LEN]
        return interaction[self.ITEM_SEQ][:, : int(length.max())], length

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Mean cross entropy of a digit of the targets, of rows or of windows."""
        items, length = self.history(interaction)
        states, targets = learned_positions(self.transformer(self.embed(items)), length, interaction[self.ITEM_ID])
        logits = self.heads(states, self.digit_embedding)  # [L, n, C]
        return F.cross_entropy(logits.flatten(0, 1), self.codes[targets].T.flatten())

    # -- ranking -------------------------------------------------------------------------------------------------------

    def encode_users(self, interaction: Interaction) -> PredictedDigits:
        items, length = self.history(interaction)
        states = self.transformer(self.embed(items))
        last = states[torch.arange(len(states), device=states.device), length - 1]
        log_probs = self.heads(last, self.digit_embedding).log_softmax(-1).transpose(0, 1)
        check_probabilities(log_probs.isnan().any())
        return PredictedDigits(log_probs, interaction=interaction)

    @property
    def bonus(self) -> Tensor:
        """What is added to each item's score `[n_items]`."""
        return torch.where(self.seen, 0.0, self.decoding["unseen_bonus"]).to(self.digit_embedding.dtype)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The k best of all candidates, or of those that the graph-guided search finds."""
        assert isinstance(users, PredictedDigits)
        if self.decoding["graph_search"]:
            beam, steps = self.decoding["graph_beam"], self.decoding["graph_steps"]
            graph = self.graph(candidates)
            return RankedList(*graph_search(graph, users.log_probs, self.codes, self.bonus, k, beam, steps))
        bonus, few = self.bonus, len(users.log_probs) * self.n_items <= SCORES_AT_ONCE

        def likelihoods(items: slice) -> Tensor:
            return log_likelihood_of_all(users.log_probs, self.codes[items])

        def scores(items: slice) -> Tensor:
            kept = users.once(("scores", items.start), lambda: likelihoods(items)) if few else likelihoods(items)
            return kept + bonus[items]

        return RankedList(*rank_blocks(scores, len(users.log_probs), k, candidates))

    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        scores = log_likelihood(self.encode_users(interaction).log_probs, self.codes, items)
        return scores + self.bonus[items.clamp(min=0)]

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`: mean log-probability of a digit, with an unseen item's bonus."""
        return log_likelihood_of_all(self.encode_users(interaction).log_probs, self.codes) + self.bonus

    def graph(self, candidates: Tensor) -> ItemGraph:
        """The graph of the candidates `[n_items]`; the last one is kept until the model is trained on."""
        if self._graph is None or not torch.equal(self._graph[0], candidates):
            items = self.candidate_items(candidates)
            with torch.no_grad():
                self._graph = candidates, ItemGraph.build(self.digit_embedding, self.codes, items, self.graph_edges)
        return self._graph[1]

    # -- verifying what others draft -----------------------------------------------------------------------------------

    def read(self, interaction: Interaction) -> PredictedDigits:
        return self.encode_users(interaction)

    def candidate_items(self, candidates: Tensor) -> Tensor:
        if self._items is None or not torch.equal(self._items[0], candidates):
            self._items = candidates, candidates.nonzero().squeeze(1)
        return self._items[1]

    def verification(
        self, memory: Tensor, candidates: Tensor, settings: VerificationSettings, static: bool = False
    ) -> ParallelVerification:
        return ParallelVerification(memory, self.codes, self.candidate_items(candidates), self.seen, settings)

    # -- why an item stands in a list ----------------------------------------------------------------------------------

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        return Reasons(self.digits(self.read(interaction), item, False), self.shared_digits(item))

    def digits(self, users: ReadUsers, item: int, score_adjustment: bool) -> list[Digit]:
        digits = []
        for code, log_probs in zip(self.codes[item].tolist(), users.memory[0], strict=True):
            rank = int((log_probs > log_probs[code]).sum()) + 1
            digits.append(Digit(code, float(log_probs[code]), rank, len(log_probs), counts=True))
        return digits

    def shared_digits(self, item: int) -> Tensor:
        """How many digits, in whatever places, each item has in common with the item."""
        shared = (self.codes == self.codes[item]).sum(1)
        shared[0] = 0
        return shared

    # -- items that arrive later, and parameters that change -----------------------------------------------------------

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        assert new.tokens is not None
        codes = new.tokens[:, :-1] - torch.tensor(self.first_tokens)
        return {"codes": codes, "seen": torch.zeros(len(new), dtype=torch.bool)}

    def items_changed(self) -> None:
        self._graph = self._items = None

    def train(self, mode: bool = True) -> RPG:
        self._graph = None
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._graph = None


class DigitHeads(nn.Module):
    """A head for each digit: a residual block, and the cosine to each of the digit's embeddings over a temperature.

    Args:
        digits: L.
        width: of states and embeddings.
        temperature: tau.
    """

    def __init__(self, digits: int, width: int, temperature: float) -> None:
        super().__init__()
        self.digits, self.temperature = digits, temperature
        self.blocks = nn.Linear(width, digits * width)  # all blocks side by side
        nn.init.normal_(self.blocks.weight, std=0.02)
        nn.init.zeros_(self.blocks.bias)

    def forward(self, states: Tensor, digit_embedding: Tensor) -> Tensor:
        """States `[n, width]` and embeddings `[L, C, width]` -> logits of every digit's codes `[L, n, C]`."""
        own = states[:, None] + F.silu(self.blocks(states)).unflatten(1, (self.digits, -1))
        directions = F.normalize(own, dim=-1).transpose(0, 1)
        return directions @ F.normalize(digit_embedding, dim=-1).transpose(1, 2) / self.temperature
