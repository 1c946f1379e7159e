"""In what precision something is computed."""

from __future__ import annotations

import torch
from torch import Tensor


def in_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as matrix products take them: in autocast's type where it is on and they are not float64."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in tensors)


def at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
