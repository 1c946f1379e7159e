"""A layer of the decoder-only backbone, as Llama has it: what it does to whole sequences, and to their last tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones.attention import KeysValues, attend, attend_causally, merge_heads, split_heads
from recbole_specgr.backbones.blocks import Dropout, RMSNorm
from recbole_specgr.backbones.rotary import Rotation

ROW_BLOCK = 256  # rows whose hidden activations in a feed-forward layer fit a CPU's cache


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

    def forward(self, x: Tensor, turn: Rotation, kept: list[Tensor] | None = None) -> Tensor:
        """`x` `[B, n, d_model]`, a sequence from its first token on -> `[B, n, d_model]`.

        Args:
            kept: takes the keys and the values, each `[B, n, H * d]`.
        """
        turned, value = self.qkv(x).split([2 * self.inner, self.inner], -1)
        query, key = turn(turned).chunk(2, -1)
        if kept is not None:
            kept += [key, value]
        query, key, value = (split_heads(part, self.heads) for part in (query, key, value))
        return self.o(merge_heads(attend_causally(query, key, value)))

    def keys_values(self, x: Tensor, turn: Rotation) -> list[Tensor]:
        """Of a sequence `[B, n, d_model]` the keys and the values, each `[B, n, H * d]`."""
        key, value = F.linear(x, self.qkv.weight[self.inner :]).chunk(2, -1)
        return [turn(key), value]

    def after(self, x: Tensor, history: KeysValues, bias: Tensor) -> Tensor:
        """One token of each sequence `[B, d_model]`, from whose position the keys have been turned, with a history that
        ends with it under an additive mask `[B, 1, 1, n]` -> `[B, d_model]`."""
        query = F.linear(x[:, None], self.qkv.weight[: self.inner] * self.scale)
        read = attend(split_heads(query, self.heads), history.keys, history.values, bias)
        return self.o(merge_heads(read).squeeze(1))


class GatedFeedForward(nn.Module):
    """SwiGLU: `wo(silu(gate(x)) * up(x))`, with gate and up in one matrix."""

    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.wi = nn.Linear(config.d_model, 2 * config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            gate, up = self.wi(x).chunk(2, -1)
            return self.wo(F.silu(gate) * up)
        if x.device.type != "cpu" or x.numel() <= ROW_BLOCK * x.size(-1):
            return self._in_place(x)
        rows = x.flatten(0, -2).split(ROW_BLOCK)
        return torch.cat([self._in_place(part) for part in rows]).view(x.shape)

    def _in_place(self, x: Tensor) -> Tensor:
        """Without gradients the hidden activations are overwritten."""
        gate, up = self.wi(x).chunk(2, -1)
        return self.wo(F.silu(gate, inplace=True).mul_(up))


class Layer(nn.Module):
    def __init__(self, config: DecoderOnlyConfig) -> None:
        super().__init__()
        self.attention_norm, self.attention = norm(config), Attention(config)
        self.ff_norm, self.ff = norm(config), GatedFeedForward(config)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor, turn: Rotation, kept: list[Tensor] | None = None) -> Tensor:
        """A sequence `[B, n, d_model]` -> `[B, n, d_model]`; `kept` as in `Attention.forward`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), turn, kept))
        return x + self.dropout(self.ff(self.ff_norm(x)))

    def after(self, x: Tensor, history: KeysValues, bias: Tensor) -> Tensor:
        """The same of one token of each sequence `[B, d_model]`; see `Attention.after`."""
        x = x + self.dropout(self.attention.after(self.attention_norm(x), history, bias))
        return x + self.dropout(self.ff(self.ff_norm(x)))


def norm(config: DecoderOnlyConfig) -> RMSNorm:
    return RMSNorm(config.d_model, config.rms_norm_eps)
