"""Training blocks for the CPU, whose fused kernels know neither dropout nor a gradient of the attention bias.

Memory traffic is what a small T5 costs on a CPU: these functions work in row blocks that stay in the cache, keep no
intermediate that they can derive again, and draw dropout masks eight elements to a random number. Results and
gradients are those of the plain operations (`tests/backbones/test_backbone.py` compares them).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from recbole_specgr.backbones.precision import in_precision

ROW_BLOCK = 1024  # rows whose feed-forward activations, or queries, keys and values, fit the cache
SCORE_BLOCK = 110_000  # attention scores of a head that do, over a block of users


def apply_to(x: Tensor) -> bool:
    """Whether these functions are the ones to use: training on a CPU."""
    return x.device.type == "cpu" and torch.is_grad_enabled()


def keep_mask(chances: Tensor, rate: float, like: Tensor) -> tuple[Tensor, float]:
    """A mask of the shape and type of `like`, 0 with probability `rate` and else 1, in steps of 1/256, and the exact
    share kept. Made in this type at once, for a bool mask has to be converted at four times the cost.

    Args:
        chances: a random byte for each element, in whatever shape (`random_bytes`).
    """
    dropped = max(1, round(rate * 256))
    mask = torch.empty_like(like, memory_format=torch.contiguous_format)
    torch.ge(chances, dropped, out=mask.view(-1))
    return mask, 1 - dropped / 256


def random_bytes(n: int) -> Tensor:
    """`[n]` uint8, eight to a random number."""
    words = torch.empty((n + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:n]


class Dropout(Function):
    """`x * mask / share kept`; a byte an element is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        chances = random_bytes(x.numel())
        ctx.save_for_backward(chances)
        ctx.rate = rate
        mask, kept = keep_mask(chances, rate, x)
        return mask.mul_(x).mul_(1 / kept)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (chances,) = ctx.saved_tensors
        mask, kept = keep_mask(chances, ctx.rate, grad)
        return mask.mul_(grad).mul_(1 / kept), None


class RMSNorm(Function):
    """`weight * x / rms(x)`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.size(-1)).add_(eps)
        scale = rms.rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        unit = x * scale
        projected = grad * unit
        grad_weight = projected.flatten(0, -2).sum(0)
        along = (projected @ weight).div_(x.size(-1))[..., None]
        return (grad * weight).addcmul_(unit, along, value=-1).mul_(scale), grad_weight, None


class FeedForward(Function):
    """`wo @ dropout(relu(wi @ x))` for rows `[R, d]`; only the hidden activations are kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, wi: Tensor, wo: Tensor, rate: float) -> Tensor:
        x, wi, wo = in_precision(x, wi, wo)
        hidden, out = x.new_empty(len(x), len(wi)), x.new_empty(len(x), len(wo))
        kept = 1.0
        for rows, h, y in zip(x.split(ROW_BLOCK), hidden.split(ROW_BLOCK), out.split(ROW_BLOCK), strict=True):
            torch.mm(rows, wi.T, out=h).relu_()
            if rate:
                mask, kept = keep_mask(random_bytes(h.numel()), rate, h)
                h.mul_(mask)
            torch.mm(h, wo.T, out=y)
        ctx.save_for_backward(x, wi, wo, hidden)
        ctx.kept = kept
        return out.mul_(1 / kept)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, wi, wo, hidden = ctx.saved_tensors
        grad = grad * (1 / ctx.kept)
        grad_x = torch.empty_like(x)
        grad_wi, grad_wo = (_sums_of(w) for w in (wi, wo))
        blocks = zip(*(t.split(ROW_BLOCK) for t in (x, hidden, grad, grad_x)), strict=True)
        for rows, h, g, gx in blocks:
            grad_wo += g.T @ h
            # an activation is positive exactly where neither the ReLU nor the dropout cut it off
            grad_h = torch.ops.aten.threshold_backward(g @ wo, h, 0)
            grad_wi += grad_h.T @ rows
            torch.mm(grad_h, wi, out=gx)
        return grad_x, grad_wi, grad_wo, None


class SelfAttention(Function):
    """Unscaled attention within `x` `[B, S, d_model]` under `bias` `[H, S, S]` and `mask` `[B, 1, 1, S]`.

    `qkv` `[3 * H * d, d_model]` projects it to queries, keys and values. These, twelve times as large as `x` in the
    paper's model, and the attention matrices live for one block of users only: the backward pass derives them again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, qkv: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
        x, qkv, bias, mask = in_precision(x, qkv, bias, mask)
        ctx.save_for_backward(x, qkv, bias, mask)
        heads, block = len(bias), _user_block(x.size(1))
        out = x.new_empty(*x.shape[:2], len(qkv) // 3)
        for users_x, users_mask, y in zip(x.split(block), mask.split(block), out.split(block), strict=True):
            query, key, value = _heads(users_x @ qkv.T, heads, 3)
            weights = _weights(query, key, bias, users_mask)
            y.view(*y.shape[:2], heads, -1).transpose(1, 2).copy_(torch.bmm(weights, value).unflatten(0, (-1, heads)))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, qkv, bias, mask = ctx.saved_tensors
        heads, block = len(bias), _user_block(x.size(1))
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        grad_qkv, grad_bias = (_sums_of(w) for w in (qkv, bias))
        for users_x, users_mask, g, gx in zip(*(t.split(block) for t in (x, mask, grad, grad_x)), strict=True):
            query, key, value = _heads(users_x @ qkv.T, heads, 3)
            (g,) = _heads(g, heads, 1)
            weights = _weights(query, key, bias, users_mask)
            grad_weights = torch.bmm(g, value.transpose(1, 2))
            grad_scores = torch.ops.aten._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_bias += grad_scores.unflatten(0, (-1, heads)).sum(0)
            packed = users_x.new_empty(*users_x.shape[:2], len(qkv))
            parts = packed.view(*users_x.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4)
            parts[0].copy_(torch.bmm(grad_scores, key).unflatten(0, (-1, heads)))
            parts[1].copy_(torch.bmm(grad_scores.transpose(1, 2), query).unflatten(0, (-1, heads)))
            parts[2].copy_(torch.bmm(weights.transpose(1, 2), g).unflatten(0, (-1, heads)))
            rows = packed.flatten(0, 1)
            grad_qkv += rows.T @ users_x.flatten(0, 1)
            torch.mm(rows, qkv, out=gx.flatten(0, 1))
        return grad_x, grad_qkv, grad_bias, None


def _sums_of(x: Tensor) -> Tensor:
    """Zeros to add up what has the shape of `x`, in float32 or wider."""
    return torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))


def _user_block(length: int) -> int:
    """Users whose attention is computed at once."""
    return max(1, min(SCORE_BLOCK // length**2, ROW_BLOCK // length))


def _heads(packed: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """`[b, S, parts * H * d]` -> `parts` contiguous tensors `[b * H, S, d]`."""
    split = packed.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).contiguous()
    return split.flatten(1, 2).unbind(0)


def _weights(query: Tensor, key: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """Attention weights `[b * H, S, S]`."""
    scores = bias.repeat(len(mask), 1, 1).baddbmm_(query, key.transpose(1, 2))
    if bool(mask.any()):  # rows of like length have mostly no padding
        scores.unflatten(0, (len(mask), -1)).add_(mask)
    return torch.softmax(scores, -1, out=scores)
