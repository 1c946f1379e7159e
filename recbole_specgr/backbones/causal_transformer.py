"""A causal transformer over a sequence of vectors, as GPT-2 has it: every position sees itself and what came before."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones.attention import attend_causally, merge_heads, split_heads
from recbole_specgr.backbones.blocks import Dropout


class CausalTransformer(nn.Module):
    """Learned positions, then layers that norm before each block, then a last norm (Radford et al. 2019).

    Sequences are padded on the right. No position sees what comes after it, so padding needs no mask.

    Args:
        width: of the vectors.
        layers, heads: how many.
        inner_size: width of the feed-forward layers.
        longest: positions of the longest sequence.
        dropout: of embeddings, attention weights and blocks.
        norms_inputs: a norm before the first layer, as SASRec has it. It makes vectors of any length as strong as what
            the layers add to them.

    Raises:
        ValueError: the width can't be divided among the heads.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        inner_size: int,
        longest: int,
        dropout: float,
        norms_inputs: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} can't be divided among {heads} heads")
        self.positions = nn.Parameter(torch.empty(longest, width))
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(CausalLayer(width, heads, inner_size, dropout) for _ in range(layers))
        self.input_norm = nn.LayerNorm(width) if norms_inputs else nn.Identity()
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors `[B, S, width]` -> the state after each position `[B, S, width]`."""
        x = self.dropout(self.input_norm(x + self.positions[: x.size(1)]))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class CausalLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner_size: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, dropout
        self.attention_norm, self.ff_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, inner_size), nn.Linear(inner_size, width)
        self.dropout = Dropout(dropout)
        for linear in (self.qkv, self.output, self.inner, self.outer):
            nn.init.normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(self.attention_norm(x)).chunk(3, -1))
        rate = self.attention_dropout if self.training else 0.0
        read = attend_causally(query, key, value, rate)
        x = x + self.dropout(self.output(merge_heads(read)))
        return x + self.dropout(self.outer(F.gelu(self.inner(self.ff_norm(x)))))
