"""Rotary positions (Su et al. 2021): queries and keys are turned by angles that grow with their positions, so that the
product of a query and a key depends on how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass

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

    def __call__(self, x: Tensor) -> Tensor:
        """Turn the heads of `x` `[..., H * d]`. A pair that turns together is i and i + d / 2, as in Llama."""
        halves = x.unflatten(-1, (-1, 2, self.cos.size(-1)))
        first, second = halves.unbind(-2)
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        return torch.stack([first * cos - second * sin, second * cos + first * sin], -2).flatten(-3)
