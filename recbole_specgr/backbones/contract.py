"""The contract of a backbone: what models and decoding ask of a network that generates semantic ids token by token.

`T5` satisfies it. Decoding knows this file and not T5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from recbole_specgr.backbones.token_tree import Memory, NewNodes, TokenTree


class Backbone(Protocol):
    """Reads histories of tokens and knows how probable each next token of an id is.

    Attributes:
        decoding_dtype: of the matrix products of `memory` and `extend` when no gradient is wanted. Scores are float32
            or wider whatever it is.
    """

    decoding_dtype: torch.dtype

    def encode(self, tokens: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Read histories: tokens `[B, S]`, padded on the right with 0 -> their last hidden states `[B, S, d_model]`.

        Args:
            embedded: what takes the place of the tokens' embeddings `[B, S, d_model]`.
        """
        ...

    def loss(self, encoded: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy of a token of the target ids, a scalar (paper, Eq. 5).

        Args:
            encoded: what `encode` gave `[B, S, d_model]`.
            tokens: what it read `[B, S]`.
            labels: the targets' ids as tokens `[B, L]`.
        """
        ...

    def memory(self, tokens: Tensor, encoded: Tensor | None = None) -> Memory:
        """Everything of the users' histories that decoding needs, computed once.

        Args:
            tokens: `[B, S]`.
            encoded: their encoding `[B, S, d_model]` where the caller has it already.
        """
        ...

    def extend(self, memory: Memory, tree: TokenTree, new: Sequence[NewNodes]) -> list[Tensor]:
        """Add nodes to every user's token tree and return what follows each of them. All decoding is made of this.

        A new node attends to itself, to its ancestors and to the user's memory.

        Args:
            memory: of B users.
            tree: their trees, which grow by the new nodes.
            new: parents before children.

        Returns:
            For each of `new`, log p(token | path) over the whole vocabulary, cut to the tokens in `columns`:
            `[B, n, len(columns)]`.
        """
        ...
