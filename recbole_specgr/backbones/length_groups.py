"""Rows of like length side by side, so that short histories do not pay for the longest one of their batch."""

from __future__ import annotations

import torch
from torch import Tensor

GROUPS = 8  # at most so many lengths are told apart
PLACES_ON_A_GPU = 2**16  # a group's least share there, where a pass of few places costs only its launches (reasoned)
WORTH = 0.1  # share of the batch's places that grouping must save: each group is a pass of its own


def length_groups(tokens: Tensor, pad: int) -> list[tuple[Tensor, int]]:
    """Split a batch by length.

    Args:
        tokens: `[B, S]`, padded on the right.
        pad: the padding token.

    Returns:
        For each group its rows `[b]` and its longest row's length; every row is in exactly one group. One group of
        everything, where more would save little.
    """
    users, longest = tokens.shape
    most = GROUPS if tokens.device.type == "cpu" else min(GROUPS, tokens.numel() // PLACES_ON_A_GPU)
    if most < 2:
        return [(torch.arange(users, device=tokens.device), longest)]
    place = torch.arange(1, longest + 1, device=tokens.device)
    length = ((tokens != pad) * place).amax(1)
    step = -(-longest // most)
    bucket = ((length - 1).clamp(min=0) // step).cpu()
    groups = []
    for number in bucket.unique().tolist():
        rows = (bucket == number).nonzero().squeeze(1).to(tokens.device)
        groups.append((rows, min((number + 1) * step, longest)))
    places = sum(len(rows) * size for rows, size in groups)
    if places > (1 - WORTH) * users * longest:
        return [(torch.arange(users, device=tokens.device), longest)]
    return groups
