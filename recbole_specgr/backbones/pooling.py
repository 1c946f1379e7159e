"""One vector of a sequence of hidden states."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def mean_pool(hidden: Tensor, tokens: Tensor, pad: int = 0) -> Tensor:
    """Unit-length mean of the hidden states `[B, S, d]` at the tokens `[B, S]` that are not padding: `[B, d]`."""
    weight = (tokens != pad).to(hidden.dtype)[:, :, None]
    return F.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)
