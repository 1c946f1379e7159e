"""The contract of a backbone: what models and decoding ask of a network that generates semantic ids token by token.

`T5` and `DecoderOnly` satisfy it. Decoding knows this file and neither of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recbole_specgr.backbones.token_tree import Memory, NewNodes, TokenTree


class TrainingPass(Protocol):
    """What one pass over a batch of histories gives to learn from, at its N targets."""

    @property
    def vectors(self) -> Tensor:
        """Unit vectors of what came before each target `[N, d_model]`."""
        ...

    def loss(self, part: slice = slice(None)) -> Tensor:
        """Mean cross entropy of a token of the targets' ids, a scalar (paper, Eq. 5).

        Args:
            part: of the N targets.
        """
        ...


class Reader(Protocol):
    """What reads histories or single items into vectors: a backbone, or the part of one that `Backbone.reader` gives.

    It is a torch module. Beside `vectors`, these of a module's methods are called.
    """

    training: bool

    def train(self, mode: bool = True) -> Any: ...

    def eval(self) -> Any: ...

    def requires_grad_(self, requires_grad: bool = True) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...

    def vectors(self, tokens: Tensor, encoded: Tensor | None = None) -> Tensor:
        """Unit vectors of histories, or of single items, `[B, S]`: `[B, d_model]`.

        Args:
            encoded: what `encode` gave, where the caller has it already.
        """
        ...


class Backbone(Reader, Protocol):
    """Reads histories of tokens and knows how probable each next token of an id is. It is a torch module.

    Histories are `[bos, ids of the items]`, padded on the right with 0.

    Attributes:
        ends_histories: histories, and items that are read alone, end with the token eos. Otherwise only items do.
        trains_on: what a batch may be, as `ModelContract.trains_on`; the setting `train_on` chooses.
        decoding_dtype: of the matrix products of `memory` and `extend` when no gradient is wanted. Scores are float32
            or wider whatever it is.
        embedding: of the tokens.
    """

    ends_histories: bool
    trains_on: tuple[str, ...]
    decoding_dtype: torch.dtype
    embedding: nn.Embedding

    # -- training ------------------------------------------------------------------------------------------------------

    def training_pass(self, tokens: Tensor, labels: Tensor) -> TrainingPass:
        """Read histories and learn what comes next.

        Args:
            tokens: histories `[B, S]`, of n items at most.
            labels: the targets' ids as tokens: of rows `[B, L]`; of windows `[B, n, L]`, what came after each item,
                0 where nothing is learned.
        """
        ...

    def reader(self) -> Reader:
        """A new module of that part of it that `vectors` needs, with parameters of the same names."""
        ...

    def compile_layers(self, backend: str = "inductor") -> None:
        """Let `torch.compile` fuse each layer, for batches of any shape; parameters and results stay what they are."""
        ...

    # -- reading -------------------------------------------------------------------------------------------------------

    def encode(self, tokens: Tensor) -> Tensor:
        """Read histories `[B, S]`: `[B, S, width]`, which only the methods below understand."""
        ...

    def decode(self, encoded: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B, L, vocab_size]` of each token of the ids `labels` `[B, L]` after the histories and the tokens
        before it."""
        ...

    def memory(self, tokens: Tensor, encoded: Tensor | None = None) -> Memory:
        """Everything of the users' histories that decoding needs, computed once.

        Args:
            tokens: `[B, S]`.
            encoded: what `encode` gave, where the caller has it already.
        """
        ...

    def extend(self, memory: Memory, tree: TokenTree, new: Sequence[NewNodes]) -> list[Tensor]:
        """Add nodes to every user's token tree and return what follows each of them. All decoding is made of this.

        A new node attends to itself, to its ancestors and to the user's memory. The root stands for the end of the
        history, whatever its token is.

        Args:
            memory: of B users.
            tree: their trees, which grow by the new nodes.
            new: parents before children.

        Returns:
            For each of `new`, log p(token | path) over the whole vocabulary, cut to the tokens in `columns`:
            `[B, n, len(columns)]`.
        """
        ...
