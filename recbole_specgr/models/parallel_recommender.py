"""What the models share that read histories of items and predict all digits of the next item's id at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from torch import Tensor, nn

from recbole_specgr.backbones.causal_transformer import CausalTransformer
from recbole_specgr.decoding.checks import check_probabilities
from recbole_specgr.decoding.parallel_verification import ParallelVerification
from recbole_specgr.decoding.verification import VerificationSettings
from recbole_specgr.models.explaining import Digit
from recbole_specgr.models.histories import ReadsHistories
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.verifying import ReadUsers, Verifier
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.system.errors import UserError


@dataclass
class PredictedDigits(ReadUsers):
    """What the model predicts of the next items of B users.

    Attributes:
        log_probs: of each code of each digit `[B, L, C]`.
        states: after the last position `[B, width]`.
    """

    log_probs: Tensor
    states: Tensor

    @property
    def memory(self) -> Tensor:
        return self.log_probs


class ParallelRecommender(ItemTables, Verifier, ReadsHistories):
    """A causal transformer over items, each read by its digits' embeddings, and a head for each digit.

    Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025. The identification digit of the
    table of ids is not read: items of equal codes are equal here. Subclasses say how they rank.

    The paper's item is the mean of its digits' embeddings. A mean of 32 small vectors is far shorter than what
    positions and layers add to it, so a model of this size takes five times as many epochs to learn the digits. Where
    nothing else is read, an item is therefore their sum, and what is read is normed before the first layer. Beside
    text the mean stays: there the digits learn the training data by heart once they are as strong as the text.

    Args:
        beside_text: subclasses read more of an item than its digits.

    Attributes:
        codes: of all items `[n_items, L]`, row 0 zeros.
        seen: items of the training data `[n_items]`.
    """

    inductive = True
    compares_items = True
    has_prefixes = False
    needs: tuple[str, ...] = ("semantic_ids",)
    trains_on: tuple[str, ...] = ("windows", "rows")
    input_type = InputType.POINTWISE
    item_tables: tuple[str, ...] = ("codes", "seen")

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds, beside_text: bool = False) -> None:
        super().__init__(config, dataset)
        sizes = semantic_ids.level_sizes[:-1]
        if len(set(sizes)) > 1:
            raise UserError(
                f"{type(self).__name__} wants as many codes on every level, but the semantic ids have "
                f"{'/'.join(map(str, sizes))}. Take a tokenizer whose levels are alike, such as --tokenizer.method=opq."
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
        self.digits_read = "mean" if beside_text else "sum"
        self.transformer = CausalTransformer(
            width,
            config["n_layers"],
            config["n_heads"],
            config["inner_size"],
            self.max_seq_length,
            config["dropout"],
            norms_inputs=not beside_text,
        )
        self.heads = DigitHeads(digits, width, config["temperature"])
        nn.init.normal_(self.digit_embedding, std=0.02)
        self._items: tuple[Tensor, Tensor] | None = None  # the candidates that came last, and what they are

    # -- reading histories ---------------------------------------------------------------------------------------------

    def embed(self, items: Tensor) -> Tensor:
        """Items `[B, S]` -> the sums of their digits' embeddings, or beside text the means `[B, S, width]`."""
        digits, size, _ = self.digit_embedding.shape
        rows = self.codes[items.flatten()] + torch.arange(digits, device=items.device) * size
        table = self.digit_embedding.flatten(0, 1)
        return F.embedding_bag(rows, table, mode=self.digits_read).unflatten(0, items.shape)

    def digit_loss(self, states: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of a digit of the targets `[n]`, from the states `[n, width]` before them."""
        logits = self.heads(states, self.digit_embedding)  # [L, n, C]
        return F.cross_entropy(logits.flatten(0, 1), self.codes[targets].T.flatten())

    def read(self, interaction: Interaction) -> PredictedDigits:
        items, length = self.history(interaction)
        states = self.transformer(self.embed(items))
        last = states[torch.arange(len(states), device=states.device), length - 1]
        log_probs = self.heads(last, self.digit_embedding).log_softmax(-1).transpose(0, 1)
        check_probabilities(log_probs.isnan().any())
        return PredictedDigits(log_probs, last, interaction=interaction)

    # -- verifying what is drafted -------------------------------------------------------------------------------------

    def candidate_items(self, candidates: Tensor) -> Tensor:
        if self._items is None or not torch.equal(self._items[0], candidates):
            self._items = candidates, candidates.nonzero().squeeze(1)
        return self._items[1]

    def verification(
        self, memory: Tensor, candidates: Tensor, settings: VerificationSettings, static: bool = False
    ) -> ParallelVerification:
        return ParallelVerification(memory, self.codes, self.candidate_items(candidates), self.seen, settings)

    # -- why an item stands in a list ----------------------------------------------------------------------------------

    def digits(self, users: ReadUsers, item: int, score_adjustment: bool) -> list[Digit]:
        digits = []
        for code, log_probs in zip(self.codes[item].tolist(), users.memory[0], strict=True):
            rank = int((log_probs > log_probs[code]).sum()) + 1
            digits.append(Digit(code, float(log_probs[code]), rank, len(log_probs), counts=True))
        return digits

    @property
    def item_codes(self) -> Tensor:
        return self.codes

    def alike(self, items: Tensor) -> Tensor:
        """Shares of digits, in whatever places, that are the same."""
        codes = self.codes[items.clamp(min=0)]
        shared = torch.stack([(digit[:, :, None] == digit[:, None]) for digit in codes.unbind(2)])
        return shared.to(self.digit_embedding.dtype).mean(0)

    def shared_digits(self, item: int) -> Tensor:
        """How many digits, in whatever places, each item has in common with the item."""
        shared = (self.codes == self.codes[item]).sum(1)
        shared[0] = 0
        return shared

    # -- items that arrive later ---------------------------------------------------------------------------------------

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        assert new.tokens is not None
        codes = new.tokens[:, :-1] - torch.tensor(self.first_tokens)
        return {"codes": codes, "seen": torch.zeros(len(new), dtype=torch.bool)}

    def items_changed(self) -> None:
        self._items = None


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
