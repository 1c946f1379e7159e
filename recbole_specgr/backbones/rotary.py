"""Rotary positions (Su et al. 2021): queries and keys are turned by angles that grow with their positions, so that the
product of a query and a key depends on how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rotation:
    """The turns of some positions.

    Attributes:
        cos, sin: of a head's angles at each position `[..., 1, d / 2]`; the 1 is for the heads.
    """

    cos: Tensor
    sin: Tensor

    @classmethod
    def at(cls, position: Tensor, width: int, theta: float, like: Tensor) -> Rotation:
        """The turns at the positions `[...]` for heads of a width, in the type of `like`.

        Angle i is `position * theta ** (-2 i / width)`.
        """
        rates = theta ** -(torch.arange(0, width, 2, device=position.device).float() / width)
        angles = (position.float()[..., None] * rates)[..., None, :]
        return cls(angles.cos().to(like.dtype), angles.sin().to(like.dtype))

    def __getitem__(self, place: int) -> Rotation:
        """The turn of one of the positions."""
        return Rotation(self.cos[place], self.sin[place])

    def __call__(self, x: Tensor) -> Tensor:
        """Turn the heads of `x` `[..., H * d]`. What turns together are i and i + d / 2, as in Llama."""
        halves, cos, sin = x.unflatten(-1, (-1, 2, self.cos.size(-1))), self.cos.to(x.dtype), self.sin.to(x.dtype)
        if torch.compiler.is_compiling():  # it fuses plain operations, and fails on buffers of variable shapes
            first, second = halves.unbind(-2)
            return torch.stack([first * cos - second * sin, second * cos + first * sin], -2).flatten(-3)
        turned: Tensor = _Turn.apply(halves, cos, sin)
        return turned.flatten(-3)


class _Turn(torch.autograd.Function):
    """In four passes over half of it each, where plain operations take seven and keep both halves for the gradient."""

    @staticmethod
    def forward(ctx: Any, halves: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(halves, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(grad, cos, -sin), None, None


def _turned(halves: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`[..., 2, d / 2]` -> the same shape, contiguous."""
    (first, second), out = halves.unbind(-2), torch.empty_like(halves, memory_format=torch.contiguous_format)
    out_first, out_second = out.unbind(-2)
    torch.mul(first, cos, out=out_first).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out_second).addcmul_(first, sin)
    return out
