"""What a digit's probabilities add up to 1 over, and how sharp they are: the scale on which a search compares ids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

# The whole vocabulary, as the model was trained; the tokens of the digit's level; those that some candidate's id goes
# on with. The last is what a decoder gives that masks tokens before its softmax: it favours prefixes of few items.
NORMALIZERS = ("full", "level", "trie")


@dataclass(frozen=True)
class DigitScale:
    """The scale of a digit's log-probabilities.

    Attributes:
        normalizer: what they add up to 1 over, one of `NORMALIZERS`.
        temperature: they are divided by it. Other than 1, they are then made to add up to 1 over the digit's level,
            unless the normaliser says `trie`.

    Raises:
        ValueError: for another normaliser.
    """

    normalizer: str = "full"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.normalizer not in NORMALIZERS:
            raise ValueError(f"normalizer is [{self.normalizer}], but must be one of {', '.join(NORMALIZERS)}")

    def __call__(self, log_probs: Tensor, nodes: Tensor, index: PrefixIndex, depth: int, first_token: int) -> Tensor:
        """The log-probabilities on this scale.

        Args:
            log_probs: of the next digit's tokens after each prefix, as the backbone gives them `[B, n, level size]`.
            nodes: the prefixes' numbers in the index `[B, n]`; of one that is none, what comes out has no meaning.
            depth: length of the prefixes.
            first_token: the token that the first column of `log_probs` stands for.
        """
        if self.temperature != 1:
            log_probs = (log_probs / self.temperature).log_softmax(2)
        if self.normalizer == "full":
            return log_probs
        share = log_probs
        if self.normalizer == "trie":
            child, exists = index.children(depth, nodes)
            column = index.levels[depth + 1].token[child] - first_token
            share = log_probs.gather(2, column).masked_fill(~exists, -torch.inf)
        return log_probs - share.logsumexp(2, keepdim=True)


AS_TRAINED = DigitScale()
