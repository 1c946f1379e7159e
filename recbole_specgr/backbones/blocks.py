"""Blocks that the backbones have in common."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_specgr.backbones import cpu_kernels


class RMSNorm(nn.Module):
    """Root mean square norm of vectors of a width, without mean or bias (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if cpu_kernels.apply_to(x):
            return cpu_kernels.RMSNorm.apply(x, self.weight, self.eps)
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Dropout(nn.Dropout):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.p and cpu_kernels.apply_to(x):
            return cpu_kernels.Dropout.apply(x, self.p)
        return super().forward(x)
