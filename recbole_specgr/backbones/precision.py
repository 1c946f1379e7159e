"""In what precision something is computed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor, nn


class Decodes(Protocol):
    """A backbone, as far as its precision goes."""

    decoding_dtype: torch.dtype
    embedding: nn.Embedding


P = ParamSpec("P")
R = TypeVar("R")
B = TypeVar("B", bound=Decodes)


def in_decoding_precision(method: Callable[Concatenate[B, P], R]) -> Callable[Concatenate[B, P], R]:
    """Compute a backbone's matrix products in its `decoding_dtype`, where no gradient is wanted."""

    @functools.wraps(method)
    def wrapped(self: B, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.decoding_dtype == torch.float32 or torch.is_grad_enabled():
            return method(self, *args, **kwargs)
        with torch.autocast(self.embedding.weight.device.type, self.decoding_dtype):
            return method(self, *args, **kwargs)

    return wrapped


def in_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as matrix products take them: in autocast's type where it is on and they are not float64."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in tensors)


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
