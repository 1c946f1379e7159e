"""Where in its histories a batch has something to learn: one function for rows and for windows."""

from __future__ import annotations

import torch
from torch import Tensor


def learned_positions(states: Tensor, length: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The states that predict something, and what they are to predict.

    Args:
        states: after each position of the histories `[B, S, d]`, padded on the right.
        length: of the histories `[B]`.
        targets: of a batch of rows `[B]`; of a batch of windows `[B, S]` with 0 where nothing is learned. A part of a
            batch may have more columns, for a longer window in another part.

    Returns:
        States `[n, d]` and targets `[n]`. Of rows, n is B and the states are the last ones.
    """
    if targets.dim() == 1:
        return states[torch.arange(len(states), device=states.device), length - 1], targets
    targets = targets[:, : states.size(1)].flatten()
    learned = targets.nonzero().squeeze(1)  # a GPU is waited for once; a mask would have it counted at every use
    return states.flatten(0, 1)[learned], targets[learned]
