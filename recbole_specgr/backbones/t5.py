"""T5 (Raffel et al. 2020) for semantic-id sequences, as in `transformers` but for three things that decoding needs.

Queries, keys and values are projected by one matrix; what decoding needs of a history is computed once a user
(`T5.memory`); and the decoder can extend a token *tree* (`T5.extend`), not only a sequence. Attention weights are not
dropped out, so that fused kernels apply in training too; everything else follows T5 v1.0: relative position bias in
the first layer of each stack and shared by the others, RMS norm before each block, no biases, ReLU feed-forward, and
a head tied to the embedding and scaled by `d_model ** -0.5`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones import cpu_kernels
from recbole_specgr.backbones.attention import Reading, attend, may_mask, merge_heads, split_heads
from recbole_specgr.backbones.blocks import Dropout, RMSNorm
from recbole_specgr.backbones.contract import TrainingPass
from recbole_specgr.backbones.length_groups import length_groups
from recbole_specgr.backbones.path_attention import PathAttention
from recbole_specgr.backbones.pooling import mean_pool
from recbole_specgr.backbones.precision import at_least_float32, in_decoding_precision, in_precision
from recbole_specgr.backbones.token_tree import Memory, NewNodes, NodeRows, TokenTree


@dataclass(frozen=True)
class T5Config:
    """Sizes, under the names that `transformers.T5Config` gives them."""

    vocab_size: int
    d_model: int = 64
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 4
    num_decoder_layers: int = 4
    num_heads: int = 4
    dropout_rate: float = 0.1
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    pad_token_id: int = 0

    @property
    def inner_dim(self) -> int:
        return self.num_heads * self.d_kv


class RelativePositionBias(nn.Module):
    """One learned number a head and bucket of (key position - query position)."""

    def __init__(self, config: T5Config, bidirectional: bool) -> None:
        super().__init__()
        self.num_buckets, self.max_distance = (
            config.relative_attention_num_buckets,
            config.relative_attention_max_distance,
        )
        self.bidirectional = bidirectional
        self.weight = nn.Parameter(torch.empty(self.num_buckets, config.num_heads))

    def buckets(self, distance: Tensor) -> Tensor:
        """Bucket of each signed distance: half of the buckets are exact, the rest grow logarithmically."""
        buckets, offset = self.num_buckets, torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            offset, distance = (distance > 0).long() * buckets, distance.abs()
        else:
            distance = -distance.clamp(max=0)
        exact = buckets // 2
        ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(self.max_distance / exact)
        far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return offset + torch.where(distance < exact, distance, far)

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Positions `[q]` and `[k]` -> bias `[heads, q, k]`."""
        return self.weight[self.buckets(key[None, :] - query[:, None])].permute(2, 0, 1)


class SelfAttention(nn.Module):
    """Attention among the tokens of one sequence; positions come in through the additive `bias`."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.inner_dim, bias=False)
        self.o = nn.Linear(config.inner_dim, config.d_model, bias=False)

    def forward(self, x: Tensor, bias: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x` `[B, n, d_model]`; what is added to the scores: all of it `[B or 1, H, n, n]`, or for the CPU's training
        kernel the positions' part `[H, n, n]` and the padding's `[B, 1, 1, n]`."""
        if mask is not None:
            return self.o(cpu_kernels.SelfAttention.apply(x, self.qkv.weight, bias, mask))
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1))
        return self.o(merge_heads(attend(query, key, value, bias)))


class CrossAttention(nn.Module):
    """Attention of decoder tokens to the encoding of a history.

    A head's product of a query and a key is `x Wq Wk^T e`, so the projection of the keys can be multiplied into that of
    the queries, and likewise the values' into the output's. Then all heads of all layers read the encoding itself, and
    nothing as long as a history is projected or kept a layer. It pays while a head is about as wide as the model; for
    narrower heads, whose queries would grow to the model's width, keys and values are made as usual.
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads, self.absorbs = config.num_heads, config.d_model <= 2 * config.d_kv
        self.q = nn.Linear(config.d_model, config.inner_dim, bias=False)
        self.kv = nn.Linear(config.d_model, 2 * config.inner_dim, bias=False)
        self.o = nn.Linear(config.inner_dim, config.d_model, bias=False)

    def reading(self, encoded: Tensor) -> Reading:
        """How decoder tokens read the encoder output `[B, S, d_model]`."""
        # two parts, for the gradients of one's halves would have to be copied together
        key_weight, value_weight = self.kv.weight.chunk(2)
        if not self.absorbs:
            keys, values = (split_heads(F.linear(encoded, weight), self.heads) for weight in (key_weight, value_weight))
            return Reading(keys, values, self.q.weight, self.o.weight)
        weights = (self.q.weight, key_weight, value_weight, self.o.weight.T)
        query, key, value, output = (weight.unflatten(0, (self.heads, -1)) for weight in weights)
        with torch.autocast(encoded.device.type, enabled=False):
            query, output = key.transpose(1, 2) @ query, output.transpose(1, 2) @ value
        output = output.transpose(0, 1).flatten(1)
        return Reading(encoded[:, None], encoded[:, None], query.flatten(0, 1), output)

    def forward(self, x: Tensor, encoded: Tensor, bias: Tensor) -> Tensor:
        """`x` `[B, n, d_model]`, the encoder output `[B, S, d_model]` and its padding mask `[B, 1, 1, S]`."""
        reading = self.reading(encoded)
        return reading.output(reading.attend(reading.query(x), bias))


class FeedForward(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        if cpu_kernels.apply_to(x):
            rate = self.dropout.p if self.training else 0.0
            rows = cpu_kernels.FeedForward.apply(x.flatten(0, -2), self.wi.weight, self.wo.weight, rate)
            return rows.view(x.shape)
        return self.wo(self.dropout(F.relu(self.wi(x), inplace=True)))


def norm(config: T5Config) -> RMSNorm:
    return RMSNorm(config.d_model, config.layer_norm_epsilon)


class EncoderLayer(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.self_norm, self.self_attention = norm(config), SelfAttention(config)
        self.ff_norm, self.ff = norm(config), FeedForward(config)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor, bias: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.self_attention(self.self_norm(x), bias, mask))
        return x + self.dropout(self.ff(self.ff_norm(x)))


class DecoderLayer(nn.Module):
    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.self_norm, self.self_attention = norm(config), SelfAttention(config)
        self.cross_norm, self.cross_attention = norm(config), CrossAttention(config)
        self.ff_norm, self.ff = norm(config), FeedForward(config)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor, bias: Tensor, encoded: Tensor, memory_bias: Tensor) -> Tensor:
        x = x + self.dropout(self.self_attention(self.self_norm(x), bias))
        x = x + self.dropout(self.cross_attention(self.cross_norm(x), encoded, memory_bias))
        return x + self.dropout(self.ff(self.ff_norm(x)))


class T5(nn.Module):
    """Encoder-decoder over one vocabulary of semantic-id tokens.

    Args:
        config: sizes.

    Attributes:
        decoding_dtype: of the matrix products of histories and trees when no gradient is wanted; scores are float32 or
            wider whatever it is. A model in float64 stays in float64.
        ends_histories: its histories end with a token of their own.
        trains_on: it reads a history anew for each target.
    """

    ends_histories = True
    trains_on: tuple[str, ...] = ("rows",)

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.encoder_bias = RelativePositionBias(config, bidirectional=True)
        self.decoder_bias = RelativePositionBias(config, bidirectional=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.encoder_norm, self.decoder_norm = norm(config), norm(config)
        self.dropout = Dropout(config.dropout_rate)
        self.decoding_dtype = torch.float32
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """T5's initialisation: logits are not divided by `sqrt(d_kv)`, so the queries start that much smaller."""
        c = self.config
        nn.init.normal_(self.embedding.weight)
        for bias in (self.encoder_bias, self.decoder_bias):
            nn.init.normal_(bias.weight, std=c.d_model**-0.5)
        for module in self.modules():
            if isinstance(module, SelfAttention | CrossAttention):
                nn.init.normal_(module.o.weight, std=c.inner_dim**-0.5)
            if isinstance(module, SelfAttention):
                nn.init.normal_(module.qkv.weight, std=c.d_model**-0.5)
                nn.init.normal_(module.qkv.weight[: c.inner_dim], std=(c.d_model * c.d_kv) ** -0.5)
            elif isinstance(module, CrossAttention):
                nn.init.normal_(module.q.weight, std=(c.d_model * c.d_kv) ** -0.5)
                nn.init.normal_(module.kv.weight, std=c.d_model**-0.5)
            elif isinstance(module, FeedForward):
                nn.init.normal_(module.wi.weight, std=c.d_model**-0.5)
                nn.init.normal_(module.wo.weight, std=c.d_ff**-0.5)

    def compile_layers(self, backend: str = "inductor") -> None:
        """Let `torch.compile` fuse each layer, for batches of any shape; parameters and results stay what they are."""
        for layer in (*self.encoder, *self.decoder):
            layer.compile(dynamic=True, backend=backend)

    # -- whole sequences: the encoder, and the decoder under teacher forcing -----------------------------------------

    @in_decoding_precision
    def encode(self, tokens: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Tokens `[B, S]`, padded on the right with `pad_token_id` -> last hidden states `[B, S, d_model]`.

        Args:
            embedded: what takes the place of the tokens' embeddings `[B, S, d_model]`.
        """

        def encode(tokens: Tensor, x: Tensor) -> Tensor:
            position = torch.arange(tokens.size(1), device=tokens.device)
            bias, padding = self.encoder_bias(position, position), self.padding_bias(tokens)
            x, mask = self.dropout(x), None
            if cpu_kernels.apply_to(x):
                mask = padding
            else:  # once for all layers
                bias = bias + padding if may_mask(padding) else bias[None]
            for layer in self.encoder:
                x = layer(x, bias, mask)
            return self.dropout(self.encoder_norm(x))

        return self._by_length(encode, tokens, self.embedding(tokens) if embedded is None else embedded)

    def _by_length(
        self, run: Callable[..., Tensor], tokens: Tensor, states: Tensor, *others: Tensor, pad: bool = True
    ) -> Tensor:
        """`run(tokens, states, *others)` for the whole batch, in training for each group of rows of like length.

        Args:
            run: what it is to give is `[b, n, d]`.
            tokens, states: `[B, S]` and `[B, S, d]`, of which a group gets no more places than its longest row has.
            others: whatever else belongs to the rows `[B, ...]`.
            pad: whether it gives one place for each of these, and is to be padded to S again.
        """
        groups = length_groups(tokens, self.config.pad_token_id) if self.training else []
        if len(groups) < 2:
            return run(tokens, states, *others)
        order, sizes = torch.cat([rows for rows, _ in groups]), [len(rows) for rows, _ in groups]
        # sorted once: the gradient of rows picked for each group would be as large as the batch for each
        parts = zip(*(x.index_select(0, order).split(sizes) for x in (tokens, states, *others)), strict=True)
        out = []
        for (_, length), (own_tokens, own_states, *own) in zip(groups, parts, strict=True):
            result = run(own_tokens[:, :length], own_states[:, :length], *own)
            out.append(F.pad(result, (0, 0, 0, tokens.size(1) - length)) if pad else result)
        return torch.cat(out).index_select(0, order.argsort())

    def padding_bias(self, tokens: Tensor) -> Tensor:
        """Additive mask `[B, 1, 1, S]`: 0 at tokens, at padding a number that stays finite in bfloat16."""
        weight = self.embedding.weight
        return torch.zeros(tokens.shape, dtype=weight.dtype, device=weight.device).masked_fill_(
            tokens == self.config.pad_token_id, torch.finfo(torch.bfloat16).min
        )[:, None, None, :]

    def decode(self, encoded: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Teacher forcing: logits `[B, L, vocab_size]` of the tokens that follow start, labels[:, 0], ...

        Args:
            encoded: encoder output `[B, S, d_model]`.
            tokens: the encoder's input `[B, S]`, for its padding.
            labels: target tokens `[B, L]`; the decoder starts from the padding token.
        """
        shifted = F.pad(labels[:, :-1], (1, 0), value=self.config.pad_token_id)
        position = torch.arange(shifted.size(1), device=shifted.device)
        future = position[None, :] > position[:, None]
        bias = self.decoder_bias(position, position).masked_fill(future, float("-inf"))[None]

        def decode(tokens: Tensor, encoded: Tensor, shifted: Tensor) -> Tensor:
            (encoded,), memory_bias = in_precision(encoded), self.padding_bias(tokens)
            x = self.dropout(self.embedding(shifted))
            for layer in self.decoder:
                x = layer(x, bias, encoded, memory_bias)
            return self.dropout(self.decoder_norm(x))

        return self.logits(self._by_length(decode, tokens, encoded, shifted, pad=False))

    @property
    def _decoder_layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", self.decoder)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., vocab_size]` by the tied head."""
        return F.linear(hidden * self.config.d_model**-0.5, self.embedding.weight)

    def loss(self, encoded: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Mean token cross entropy of `labels` `[B, L]` (paper, Eq. 5)."""
        logits = self.decode(encoded, tokens, labels).flatten(0, 1)
        return F.cross_entropy(at_least_float32(logits), labels.flatten())

    def training_pass(self, tokens: Tensor, labels: Tensor) -> TrainingPass:
        """Of rows: histories `[B, S]` and their targets' ids `[B, L]`."""
        return RowsPass(self, tokens, labels, self.encode(tokens))

    def vectors(self, tokens: Tensor, encoded: Tensor | None = None) -> Tensor:
        """The mean of a history's last hidden states (paper, "Semantic ID-based item and sequence representations")."""
        return mean_pool(self.encode(tokens) if encoded is None else encoded, tokens, self.config.pad_token_id)

    def reader(self) -> T5:
        """The encoder alone."""
        return T5(replace(self.config, num_decoder_layers=0))

    # -- trees: the decoding primitive ---------------------------------------------------------------------------------

    @in_decoding_precision
    def memory(self, tokens: Tensor, encoded: Tensor | None = None) -> Memory:
        """Everything of the user's history that decoding needs, computed once.

        Args:
            tokens: encoder input `[B, S]`.
            encoded: its encoding `[B, S, d_model]` where the caller has it already.
        """
        (encoded,) = in_precision(self.encode(tokens) if encoded is None else encoded)
        return Memory(
            [layer.cross_attention.reading(encoded) for layer in self._decoder_layers], self.padding_bias(tokens)
        )

    @in_decoding_precision
    def extend(self, memory: Memory, tree: TokenTree, new: Sequence[NewNodes]) -> list[Tensor]:
        """Add nodes to every user's token tree and return what follows each of them.

        A new node attends to itself, to its ancestors and to the user's memory. Ancestors are in the tree already, or
        come with it: the digits of known ids need no more than one call. No row is computed twice and nothing is
        repeated over the nodes. Only valid nodes pass through the projections and the feed-forward layers.

        Args:
            memory: of B users.
            tree: grows by the new nodes.
            new: parents before children, slots being numbered in this order.

        Returns:
            For each of `new`, logits minus the log of the full vocabulary's partition sum, in float32 or wider:
            log p(token | path), `[B, n, len(columns)]`.
        """
        attend_to_paths = PathAttention([tree.grow(nodes) for nodes in new], self.decoder_bias)
        rows, inner = NodeRows(new), self.config.inner_dim
        x = rows.joined([nodes.pack(self.embedding(nodes.tokens)) for nodes in new])
        for i, layer in enumerate(self._decoder_layers):
            attention = layer.self_attention
            query, keys_values = attention.qkv(layer.self_norm(x)).split([inner, 2 * inner], -1)
            x = x + attention.o(attend_to_paths(query, tree.add(i, keys_values)))
            reading = cast("Reading", memory.layers[i])
            query = rows.spread(reading.query(layer.cross_norm(x)))
            x = x + reading.output(rows.pack(reading.attend(query, memory.bias)))
            x = x + layer.ff(layer.ff_norm(x))
        with torch.autocast(x.device.type, enabled=False):
            logits = at_least_float32(self.logits(self.decoder_norm(x)))
        return rows.log_probs(logits)


@dataclass
class RowsPass:
    """A training pass over rows of one target each.

    Attributes:
        tokens: the histories `[B, S]`.
        labels: the targets' ids `[B, L]`.
        encoded: the histories' encoding `[B, S, d_model]`.
    """

    backbone: T5
    tokens: Tensor
    labels: Tensor
    encoded: Tensor

    @property
    def vectors(self) -> Tensor:
        return self.backbone.vectors(self.tokens, self.encoded)

    def loss(self, part: slice = slice(None)) -> Tensor:
        return self.backbone.loss(self.encoded[part], self.tokens[part], self.labels[part])
