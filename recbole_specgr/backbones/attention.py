"""Attention, and how layers that decode read histories with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.backbones.precision import at_least_float32


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Unscaled attention: `[B, H, q, d]`, `[B, H, k, d]`, additive bias that broadcasts to `[B, H, q, k]`."""
    bias = bias.to(query.dtype)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:  # its fused kernel is slower than three operations
        scores = query @ key.transpose(2, 3)
        return torch.softmax(scores.add_(bias) if may_mask(bias) else scores, -1) @ value
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)


def attend_causally(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    """Attention of each of n positions to itself and those before it, `[B, H, n, d]` all three, scaled by `d ** -0.5`.

    Args:
        dropout: share of the attention weights that are set to 0.
    """
    if _has_slow_gradient(query) and not dropout:
        scores = (query * query.size(-1) ** -0.5) @ key.transpose(2, 3)
        hidden = scores.new_full(scores.shape[2:], -torch.inf).triu_(1)
        return torch.softmax(scores.add_(hidden), -1) @ value
    return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)


def _has_slow_gradient(query: Tensor) -> bool:
    """In bfloat16 the CPU's fused kernel takes ten times as long for the gradient as plain operations do. With dropout
    torch takes plain operations itself."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad


def may_mask(bias: Tensor) -> bool:
    """False where a CPU sees that all of it is 0; a GPU is not asked, for one would have to wait for the answer."""
    return bias.device.type != "cpu" or bool(bias.any())


def split_heads(x: Tensor, heads: int) -> Tensor:
    """`[B, n, H * d]` -> `[B, H, n, d]`."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """`[B, H, n, d]` -> `[B, n, H * d]`."""
    return x.transpose(1, 2).flatten(2)


def attend_weighed(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """`attend`, and for each query the log of the sum of what it weighs the keys by before they are made to add up to 1
    `[B, H, q]`. With that it can be told how much other keys weigh beside them."""
    if _has_weighed_kernel(query):
        mask = bias.to(query.dtype) if may_mask(bias) else None
        read, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, attn_mask=mask, scale=1.0
        )
        return read, weight
    scores = at_least_float32(query @ key.transpose(2, 3)) + bias
    weight = scores.logsumexp(-1)
    return (scores - weight[..., None]).exp().to(value.dtype) @ value, weight


def _has_weighed_kernel(query: Tensor) -> bool:
    """The fused kernel gives no gradient of the weights, and for bfloat16 it is slower than the plain operations."""
    return query.device.type == "cpu" and query.dtype != torch.bfloat16 and not torch.is_grad_enabled()


@dataclass
class KeysValues:
    """What a layer attends to of the histories of B users.

    Attributes:
        keys, values: `[B, groups, S, width]`, each for a group of the H heads: for one head, or for all of them.
    """

    keys: Tensor
    values: Tensor


@dataclass
class Reading(KeysValues):
    """How the tokens of one decoder layer of a T5 read the encoded histories of B users.

    Attributes:
        query_weight: `[H * width, d_model]`.
        output_weight: `[d_model, H * width]`.
    """

    query_weight: Tensor
    output_weight: Tensor

    def query(self, x: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., H * width]`."""
        return F.linear(x, self.query_weight)

    def attend(self, query: Tensor, bias: Tensor) -> Tensor:
        """Queries `[B, n, H * width]` and the padding mask `[B, 1, 1, S]` -> what they read `[B, n, H * width]`."""
        groups, width = self.keys.size(1), self.keys.size(3)
        rows = query.unflatten(-1, (groups, -1, width)).transpose(1, 2).flatten(2, 3)
        read = attend(rows, self.keys, self.values, bias)
        return merge_heads(read.unflatten(2, (query.size(1), -1)).flatten(3))

    def output(self, x: Tensor) -> Tensor:
        """`[..., H * width]` -> `[..., d_model]`."""
        return F.linear(x, self.output_weight)
