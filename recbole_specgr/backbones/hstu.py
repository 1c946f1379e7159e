"""HSTU: pointwise gated attention over a sequence of vectors, with biases of relative position and time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones.attention import merge_heads, split_heads
from recbole_specgr.backbones.blocks import Dropout

GROWTH = 1.35  # each bucket of intervals reaches so many times as far as the one before it
LONGEST_INTERVAL = 2**31  # seconds, 68 years; whatever is longer is in the last bucket


class HSTUEncoder(nn.Module):
    """A stack of HSTU's layers; every position sees itself and what came before.

    Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
    Recommendations", ICML 2024, Section 3. Embeddings are scaled by the root of their width, and get learned positions,
    as in the authors' code. There a position knows when the next interaction will be; here it knows only when its own
    was, as when one recommends.

    Sequences are padded on the right. No position sees what comes after it, so padding needs no mask.

    Args:
        width: of the vectors.
        layers, heads: how many; the heads share the width.
        longest: positions of the longest sequence.
        dropout: of embeddings, and of what a layer adds to them.
        relative_time: there are biases of time.

    Raises:
        ValueError: the width can't be divided among the heads.
    """

    edges: Tensor

    def __init__(self, width: int, layers: int, heads: int, longest: int, dropout: float, relative_time: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} can't be divided among {heads} heads")
        self.scale = width**0.5
        self.positions = nn.Parameter(torch.empty(longest, width))
        nn.init.normal_(self.positions, std=0.02)
        self.dropout = Dropout(dropout)
        self.register_buffer("edges", interval_edges(), persistent=False)
        buckets = len(self.edges) + 1 if relative_time else 0
        self.layers = nn.ModuleList(HSTULayer(width, heads, longest, buckets, dropout) for _ in range(layers))

    def forward(self, x: Tensor, times: Tensor | None) -> Tensor:
        """Vectors `[B, S, width]` and their times `[B, S]` in whole seconds -> the state after each position
        `[B, S, width]`. Where the times are not known (None), the biases of time are left out."""
        length = x.size(1)
        x = self.dropout(x * self.scale + self.positions[:length])
        place = torch.arange(length, device=x.device)
        distance = place[:, None] - place
        buckets = None if times is None else self.interval_buckets(times)
        for layer in self.layers:
            x = layer(x, distance, buckets)
        return x

    def interval_buckets(self, times: Tensor) -> Tensor:
        """Times `[B, S]` -> the bucket of the interval between each two `[B, S, S]`."""
        return torch.bucketize((times[:, :, None] - times[:, None]).abs(), self.edges, right=True)


class HSTULayer(nn.Module):
    """`x + f2(norm(A(x) V(x)) * U(x))`, where `A(x) = silu(Q(x) K(x)^T + bias)` and `U, V, Q, K = silu(f1(norm(x)))`.

    There is no softmax, so that the strength of what is attended to is kept, and no feed-forward layer: U gates.

    Args:
        width, heads, longest, dropout: as in the encoder.
        buckets: of intervals of time; 0 has no bias of time.
    """

    def __init__(self, width: int, heads: int, longest: int, buckets: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.read_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.uvqk, self.output = nn.Linear(width, 4 * width), nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.position_bias = nn.Parameter(torch.empty(longest))
        self.time_bias = nn.Parameter(torch.empty(buckets)) if buckets else None
        for linear in (self.uvqk, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.position_bias, std=0.02)
        if self.time_bias is not None:
            nn.init.normal_(self.time_bias, std=0.02)

    def forward(self, x: Tensor, distance: Tensor, buckets: Tensor | None) -> Tensor:
        """Vectors `[B, S, width]` -> `[B, S, width]`.

        Args:
            distance: how far back each position (column) is from each (row) `[S, S]`; negative for what comes after.
            buckets: of the intervals of time between them `[B, S, S]`, None where the times are not known.
        """
        gate, *parts = F.silu(self.uvqk(self.norm(x))).chunk(4, -1)
        value, query, key = (split_heads(part, self.heads) for part in parts)
        bias = self.position_bias[distance.clamp(min=0)]
        if self.time_bias is not None and buckets is not None:
            bias = (bias + F.embedding(buckets, self.time_bias[:, None]).squeeze(-1))[:, None]
        weights = F.silu(query @ key.transpose(2, 3) + bias).masked_fill(distance < 0, 0)
        read = merge_heads(weights @ value)
        return x + self.output(self.dropout(self.read_norm(read) * gate))


def interval_edges() -> Tensor:
    """Where the buckets of intervals begin, in seconds: 1, 2, 3, 4, 5, 7, 9, ... up to the longest."""
    edges, edge = [1], 1.0
    while edge < LONGEST_INTERVAL:
        edge *= GROWTH
        edges.append(int(edge) + 1)
    return torch.tensor(edges).unique()
