"""A map from text vectors to items' vectors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones.blocks import Dropout


class ResidualMap(nn.Module):
    """`linear(x) + second(gelu(first(x)))` of centred text vectors x of unit length.

    Args:
        d_in, d_out: widths of text vectors and of what comes out.
        d_inner: width of the residual.
        dropout: share of the text vector's entries that a step leaves out.

    Attributes:
        centre: what is taken off all text vectors `[d_in]`, the mean of the seen items'. It is saved with the
            parameters: items that arrive later do not move it.
    """

    centre: Tensor

    def __init__(self, d_in: int, d_out: int, d_inner: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        self.first, self.second = nn.Linear(d_in, d_inner), nn.Linear(d_inner, d_out)
        self.dropout = Dropout(dropout)
        self.register_buffer("centre", torch.zeros(d_in))

    def forward(self, features: Tensor) -> Tensor:
        """Text vectors `[n, d_in]` -> `[n, d_out]`."""
        features = self.dropout(F.normalize(features - self.centre, dim=1))
        return self.linear(features) + self.second(F.gelu(self.first(features)))
