"""A causal transformer over one stream of semantic ids, as Llama has it (Touvron et al. 2023).

A history is `[bos, ids of the first item, ids of the second, ...]`, and every token is predicted from those before it.
So one pass over a history learns all of its items, where an encoder-decoder reads the history anew for each of them.

Norms before each block, rotary positions, no biases. The feed-forward layers are SwiGLU (Shazeer 2020): at equal
parameters it learns more than a ReLU, and it is what `transformers` has beside rotary positions. The head is tied to
the embedding, as the T5's is: new items' ids are made of tokens that mostly were seen as a part of other items, and one
table learns them from both sides. Attention weights are not dropped out, so that fused kernels apply in training too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones.attention import KeysValues, attend_weighed, merge_heads, split_heads
from recbole_specgr.backbones.blocks import Dropout, RMSNorm
from recbole_specgr.backbones.contract import TrainingPass
from recbole_specgr.backbones.path_attention import PathAttention
from recbole_specgr.backbones.precision import at_least_float32, in_decoding_precision
from recbole_specgr.backbones.rotary import Rotation
from recbole_specgr.backbones.token_tree import Memory, NewNodes, NodeRows, TokenTree


@dataclass(frozen=True)
class DecoderOnlyConfig:
    """Sizes.

    Attributes:
        d_kv: width of an attention head, an even number.
        d_ff: inner width of the feed-forward layers, which have three matrices.
        rope_theta: base of the wavelengths of the rotary positions.

    Raises:
        ValueError: an odd `d_kv`.
    """

    vocab_size: int
    d_model: int = 64
    d_kv: int = 64
    d_ff: int = 688
    num_layers: int = 8
    num_heads: int = 4
    dropout_rate: float = 0.1
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    pad_token_id: int = 0

    def __post_init__(self) -> None:
        if self.d_kv % 2:
            raise ValueError(f"d_kv is [{self.d_kv}], but rotary positions turn pairs of a head: it must be even")

    @property
    def inner_dim(self) -> int:
        return self.num_heads * self.d_kv


class Attention(nn.Module):
    """Attention of every token to itself and those before it; positions come in by turning queries and keys."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.heads, self.inner = config.num_heads, config.inner_dim
        self.scale = config.d_kv**-0.5
        self.qkv = nn.Linear(config.d_model, 3 * config.inner_dim, bias=False)
        self.o = nn.Linear(config.inner_dim, config.d_model, bias=False)

    def forward(self, x: Tensor, turn: Rotation) -> Tensor:
        """`x` `[B, n, d_model]`, a sequence from its first token on -> `[B, n, d_model]`."""
        turned, value = self.qkv(x).split([2 * self.inner, self.inner], -1)
        query, key, value = (split_heads(part, self.heads) for part in (*turn(turned).chunk(2, -1), value))
        read = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o(merge_heads(read))

    def query_key_value(self, x: Tensor, turn: Rotation) -> tuple[Tensor, Tensor]:
        """Nodes `[R, d_model]` -> their queries, scaled, `[R, H * d]`, and keys and values `[R, 2 * H * d]`."""
        turned, value = self.qkv(x).split([2 * self.inner, self.inner], -1)
        query, key = turn(turned).chunk(2, -1)
        return query * self.scale, torch.cat([key, value], -1)

    def keys_values(self, x: Tensor, turn: Rotation) -> KeysValues:
        """Of a sequence `[B, n, d_model]` what later tokens attend to."""
        key, value = F.linear(x, self.qkv.weight[self.inner :]).chunk(2, -1)
        return KeysValues(split_heads(turn(key), self.heads), split_heads(value, self.heads))


class GatedFeedForward(nn.Module):
    """SwiGLU: `wo(silu(gate(x)) * up(x))`, with gate and up in one matrix."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, 2 * config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.wi(x).chunk(2, -1)
        return self.wo(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.attention_norm, self.attention = norm(config), Attention(config)
        self.ff_norm, self.ff = norm(config), GatedFeedForward(config)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor, turn: Rotation) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), turn))
        return x + self.dropout(self.ff(self.ff_norm(x)))


def norm(config: DecoderOnlyConfig) -> RMSNorm:
    return RMSNorm(config.d_model, config.rms_norm_eps)


@dataclass
class StreamMemory(Memory):
    """The keys and values of histories, each layer's. The last token of each is left out: it is the tree's root.

    Attributes:
        root: the last token of each history `[B]`.
        root_position: its position `[B]`.
    """

    root: Tensor
    root_position: Tensor

    def select(self, users: Tensor) -> StreamMemory:
        chosen = cast("StreamMemory", super().select(users))
        return replace(chosen, root=self.root[users], root_position=self.root_position[users])


class DecoderOnly(nn.Module):
    """A decoder-only transformer over one vocabulary of semantic-id tokens.

    Args:
        config: sizes.

    Attributes:
        decoding_dtype: of the matrix products of histories and trees when no gradient is wanted; scores are float32 or
            wider whatever it is. A model in float64 stays in float64.
        ends_histories: only items that are read alone end with a token of their own, which asks for their vector.
    """

    ends_histories = False
    trains_on: tuple[str, ...] = ("windows", "rows")

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = norm(config)
        self.dropout = Dropout(config.dropout_rate)
        self.decoding_dtype = torch.float32
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every matrix keeps the scale of what it is given. So do the first logits, as the head is the embedding. What
        is added to the stream starts smaller, for all layers add to it (as in GPT-2)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        nn.init.normal_(self.embedding.weight, std=self.config.d_model**-0.5)
        for layer in self._layers:
            for added in (layer.attention.o, layer.ff.wo):
                added.weight.data *= (2 * self.config.num_layers) ** -0.5

    def compile_layers(self, backend: str = "inductor") -> None:
        """Let `torch.compile` fuse each layer, for batches of any shape; parameters and results stay what they are."""
        for layer in self.layers:
            layer.compile(dynamic=True, backend=backend)

    @property
    def _layers(self) -> list[Layer]:
        return cast("list[Layer]", self.layers)

    # -- whole streams -------------------------------------------------------------------------------------------------

    def states(self, tokens: Tensor) -> Tensor:
        """The state after each token `[B, S, d_model]` of streams `[B, S]`, padded on the right."""
        turn = self._turn(torch.arange(tokens.size(1), device=tokens.device))
        x = self.dropout(self.embedding(tokens))
        for layer in self.layers:
            x = layer(x, turn)
        return self.dropout(self.norm(x))

    def logits(self, states: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., vocab_size]` by the tied head."""
        return F.linear(states, self.embedding.weight)

    def training_pass(self, tokens: Tensor, labels: Tensor) -> TrainingPass:
        """Of windows, or of rows, which are windows with a target after their last item only.

        The state after the last digit of an item predicts the first digit of the next one; the L states from there on
        predict all of its digits.
        """
        count = self._count(tokens)
        rows, digits = torch.arange(len(tokens), device=tokens.device), labels.size(-1)
        items, last = (tokens.size(1) - 1) // digits, (count - 1) // digits - 1
        if labels.dim() == 2:
            of_rows, labels = labels, labels.new_zeros(len(tokens), items, digits)
            labels[rows, last] = of_rows
        stream = continued(tokens, count, labels[rows, last, :-1])
        states = self.states(stream)[:, digits:].unflatten(1, (items, digits))
        learned = labels[:, :, 0].flatten().nonzero().squeeze(1)  # counted once; a mask would be at every use
        return StreamPass(self, states.flatten(0, 1)[learned], labels.flatten(0, 1)[learned])

    def decode(self, encoded: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        """Teacher forcing: logits `[B, L, vocab_size]` of the tokens that follow the histories, labels[:, 0], ..."""
        count = self._count(tokens)
        states = self.states(continued(tokens, count, labels[:, :-1]))
        place = (count - 1)[:, None] + torch.arange(labels.size(1), device=tokens.device)
        return self.logits(states.gather(1, place[:, :, None].expand(-1, -1, states.size(2))))

    # -- reading -------------------------------------------------------------------------------------------------------

    @in_decoding_precision
    def encode(self, tokens: Tensor) -> Tensor:
        """What goes into each layer, and the last states, side by side: `[B, S, (num_layers + 1) * d_model]`."""
        turn = self._turn(torch.arange(tokens.size(1), device=tokens.device))
        x, kept = self.dropout(self.embedding(tokens)), []
        for layer in self.layers:
            kept.append(x)
            x = layer(x, turn)
        return torch.cat([*kept, self.dropout(self.norm(x))], -1)

    def vectors(self, tokens: Tensor, encoded: Tensor | None = None) -> Tensor:
        """The state after the last token: of a history what predicts the next item, of an item what eos makes of it."""
        states = self.states(tokens) if encoded is None else encoded[..., -self.config.d_model :]
        rows = torch.arange(len(tokens), device=tokens.device)
        return F.normalize(states[rows, self._count(tokens) - 1], dim=1)

    def reader(self) -> DecoderOnly:
        """All of it."""
        return DecoderOnly(self.config)

    def _count(self, tokens: Tensor) -> Tensor:
        """How many tokens each stream `[B, S]` has; one at least, which may be padding `[B]`."""
        return (tokens != self.config.pad_token_id).sum(1).clamp(min=1)

    def _turn(self, position: Tensor) -> Rotation:
        return Rotation.at(position, self.config.d_kv, self.config.rope_theta, self.embedding.weight)

    # -- trees: the decoding primitive ---------------------------------------------------------------------------------

    @in_decoding_precision
    def memory(self, tokens: Tensor, encoded: Tensor | None = None) -> StreamMemory:
        """The history's keys and values, each layer's."""
        encoded = self.encode(tokens) if encoded is None else encoded
        place, last = torch.arange(tokens.size(1), device=tokens.device), self._count(tokens) - 1
        turn, inputs = self._turn(place), encoded.split(self.config.d_model, -1)
        layers = [
            layer.attention.keys_values(layer.attention_norm(x), turn)
            for layer, x in zip(self._layers, inputs[:-1], strict=True)
        ]
        weight = self.embedding.weight
        bias = torch.zeros(tokens.shape, dtype=weight.dtype, device=weight.device).masked_fill_(
            place >= last[:, None], torch.finfo(torch.bfloat16).min
        )
        return StreamMemory(layers, bias[:, None, None, :], tokens.gather(1, last[:, None]).squeeze(1), last)

    @in_decoding_precision
    def extend(self, memory: Memory, tree: TokenTree, new: Sequence[NewNodes]) -> list[Tensor]:
        """Add nodes to every user's token tree; see `Backbone.extend`.

        The root is the last token of the history. A node attends to the rest of the history and to its path under one
        softmax. Only valid nodes pass through the projections and the feed-forward layers.
        """
        assert isinstance(memory, StreamMemory)
        attend_to_paths = PathAttention([tree.grow(nodes) for nodes in new], self._no_bias)
        rows, x, turn = NodeRows(new), *self._enter(memory, new)
        heads = self.config.num_heads
        for i, layer in enumerate(self._layers):
            query, keys_values = layer.attention.query_key_value(layer.attention_norm(x), turn)
            history = memory.layers[i]
            read, weight = attend_weighed(
                split_heads(rows.spread(query), heads), history.keys, history.values, memory.bias
            )
            beside = rows.pack(merge_heads(read)), rows.pack(weight.transpose(1, 2))
            x = x + layer.attention.o(attend_to_paths(query, tree.add(i, keys_values), beside))
            x = x + layer.ff(layer.ff_norm(x))
        with torch.autocast(x.device.type, enabled=False):
            logits = at_least_float32(self.logits(self.norm(x)))
        return rows.log_probs(logits)

    def _enter(self, memory: StreamMemory, new: Sequence[NewNodes]) -> tuple[Tensor, Rotation]:
        """The embeddings of the valid new nodes `[R, d_model]`, and their turns."""
        rows, tokens, positions = NodeRows(new), [], []
        for nodes in new:
            tokens.append(nodes.tokens if nodes.depth else memory.root[:, None].expand_as(nodes.tokens))
            positions.append((memory.root_position + nodes.depth)[:, None].expand_as(nodes.tokens))
        both = rows.pack(torch.stack([rows.joined(tokens, 1), rows.joined(positions, 1)], -1))
        return self.embedding(both[:, 0]), self._turn(both[:, 1])

    def _no_bias(self, query: Tensor, key: Tensor) -> Tensor:
        """Positions `[q]` and `[k]` -> what is added to the scores `[heads, q, k]`: the turns know the positions."""
        return self.embedding.weight.new_zeros(self.config.num_heads, len(query), len(key))


def continued(tokens: Tensor, count: Tensor, more: Tensor) -> Tensor:
    """Streams `[B, S]` of `count` tokens each `[B]`, with `more` tokens `[B, m]` behind them: `[B, S + m]`."""
    place = count[:, None] + torch.arange(more.size(1), device=tokens.device)
    return F.pad(tokens, (0, more.size(1))).scatter_(1, place, more)


@dataclass
class StreamPass:
    """A training pass over streams.

    Attributes:
        states: those that predict the digits of the N targets `[N, L, d_model]`.
        labels: the targets' ids `[N, L]`.
    """

    backbone: DecoderOnly
    states: Tensor
    labels: Tensor

    @property
    def vectors(self) -> Tensor:
        return F.normalize(self.states[:, 0], dim=1)

    def loss(self, part: slice = slice(None)) -> Tensor:
        logits = self.backbone.logits(self.states[part]).flatten(0, 1)
        return F.cross_entropy(at_least_float32(logits), self.labels[part].flatten())
