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
from recbole_specgr.backbones.blocks import Dropout
from recbole_specgr.backbones.contract import TrainingPass
from recbole_specgr.backbones.llama_layer import DecoderOnlyConfig, Layer, norm
from recbole_specgr.backbones.path_attention import PathAttention
from recbole_specgr.backbones.precision import at_least_float32, in_decoding_precision
from recbole_specgr.backbones.rotary import Rotation
from recbole_specgr.backbones.token_tree import Memory, NewNodes, NodeRows, TokenTree


@dataclass
class StreamMemory(Memory):
    """The keys and values of histories, each layer's. The last token of each is left out: it is the tree's root.

    Positions are counted from there, so that nodes of one depth have the same position for all users.

    Attributes:
        root: the last token of each history `[B]`.
    """

    root: Tensor

    def select(self, users: Tensor) -> StreamMemory:
        return replace(cast("StreamMemory", super().select(users)), root=self.root[users])


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
        """Each layer's keys and values and what goes into the last layer, side by side:
        `[B, S, num_layers * 2 * H * d + d_model]`. Positions are counted from the last token.

        What comes out of the last layer is wanted after the last token only, if at all: `vectors` computes it.
        """
        kept: list[Tensor] = []
        x = self._read(tokens, self._turn(self._distance(tokens)), kept)
        return torch.cat([*kept, x.to(kept[0].dtype)], -1)

    def _read(self, tokens: Tensor, turn: Rotation, kept: list[Tensor] | None) -> Tensor:
        """What goes into the last layer `[B, S, d_model]`; all layers' keys and values where they are kept."""
        *layers, last = self._layers
        x = self.dropout(self.embedding(tokens))
        for layer in layers:
            x = layer(x, turn, kept)
        if kept is not None:
            kept += last.attention.keys_values(last.attention_norm(x), turn)
        return x

    @in_decoding_precision
    def vectors(self, tokens: Tensor, encoded: Tensor | None = None) -> Tensor:
        """The state after the last token: of a history what predicts the next item, of an item what eos makes of it."""
        distance, layer = self._distance(tokens), self._layers[-1]
        if encoded is None:
            turn = self._turn(distance)
            x = self._read(tokens, turn, None)
            key, value = layer.attention.keys_values(layer.attention_norm(x), turn)
            heads = self.config.num_heads
            history = KeysValues(split_heads(key, heads), split_heads(value, heads))
        else:
            x, history = encoded[..., -self.config.d_model :], self._keys_values(encoded)[-1]
        x = x[torch.arange(len(tokens), device=tokens.device), self._last(tokens)].to(self.embedding.weight.dtype)
        x = layer.after(x, history, self._mask(distance > 0))
        return F.normalize(self.dropout(self.norm(x)), dim=1)

    def _keys_values(self, encoded: Tensor) -> list[KeysValues]:
        """Each layer's, of what `encode` gave."""
        heads, layers = self.config.num_heads, self.config.num_layers
        parts = encoded[..., : -self.config.d_model].unflatten(-1, (layers, 2, heads, -1)).transpose(1, 4)
        return [KeysValues(parts[:, :, i, 0], parts[:, :, i, 1]) for i in range(layers)]

    def reader(self) -> DecoderOnly:
        """All of it."""
        return DecoderOnly(self.config)

    def _last(self, tokens: Tensor) -> Tensor:
        """The place of the last token of each stream `[B, S]`: `[B]`."""
        return self._count(tokens) - 1

    def _distance(self, tokens: Tensor) -> Tensor:
        """The position of each token as it is seen from the last one: 0 there, below 0 before `[B, S]`."""
        return torch.arange(tokens.size(1), device=tokens.device) - self._last(tokens)[:, None]

    def _mask(self, hidden: Tensor) -> Tensor:
        """Additive mask `[B, 1, 1, S]` of what is `hidden` `[B, S]`: there a number that stays finite in bfloat16."""
        weight = self.embedding.weight
        bias = torch.zeros(hidden.shape, dtype=weight.dtype, device=weight.device)
        return bias.masked_fill_(hidden, torch.finfo(torch.bfloat16).min)[:, None, None, :]

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
        root = tokens.gather(1, self._last(tokens)[:, None]).squeeze(1)
        before = max(1, tokens.size(1) - 1)  # the last place is nobody's: at most a root stands there
        mask = self._mask(self._distance(tokens)[:, :before] >= 0)
        return StreamMemory(self._keys_values(encoded[:, :before]), mask, root)

    @in_decoding_precision
    def extend(self, memory: Memory, tree: TokenTree, new: Sequence[NewNodes]) -> list[Tensor]:
        """Add nodes to every user's token tree; see `Backbone.extend`.

        The root is the last token of the history. A node attends to the rest of the history and to its path under one
        softmax. Only valid nodes pass through the projections and the feed-forward layers.
        """
        assert isinstance(memory, StreamMemory)
        attend_to_paths = PathAttention([tree.grow(nodes) for nodes in new], self._no_bias)
        rows, heads, inner = NodeRows(new), self.config.num_heads, self.config.inner_dim
        turns = self._turn(torch.arange(1 + max(nodes.depth for nodes in new), device=memory.root.device))
        weights = {nodes.depth: self._weights_at(turns[nodes.depth]) for nodes in new}
        tokens = [nodes.tokens if nodes.depth else memory.root[:, None].expand_as(nodes.tokens) for nodes in new]
        x = self.embedding(rows.pack(rows.joined(tokens, 1)[..., None]).squeeze(-1))
        for i, layer in enumerate(self._layers):
            parts = zip(new, layer.attention_norm(x).split(rows.sizes), strict=True)
            projected = rows.joined([F.linear(part, weights[nodes.depth][i]) for nodes, part in parts])
            query, keys_values = projected.split([inner, 2 * inner], -1)
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

    def _weights_at(self, turn: Rotation) -> Tensor:
        """Each layer's `qkv` for nodes of one position `[num_layers, 3 * H * d, d_model]`: it gives their queries
        scaled, and queries and keys turned. So many nodes of one depth need not be turned one by one."""
        weights = torch.stack([layer.attention.qkv.weight for layer in self._layers])
        query, key, value = weights.chunk(3, 1)
        turned = turn(torch.cat([query * self.config.d_kv**-0.5, key], 1).transpose(1, 2))
        return torch.cat([turned.transpose(1, 2), value], 1)

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
