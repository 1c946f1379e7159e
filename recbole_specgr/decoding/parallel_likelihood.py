"""Likelihoods of items whose digits are predicted all at once: sums of looked-up log-probabilities."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

USERS = 32  # whose tables of log-probabilities fit into a cache together


def log_likelihood(log_probs: Tensor, codes: Tensor, items: Tensor) -> Tensor:
    """Mean log-probability of a digit of given items.

    Args:
        log_probs: of each code of each digit `[B, L, C]`.
        codes: of all items `[n_items, L]`.
        items: `[B, n]`, -1 in places that are empty.

    Returns:
        `[B, n]`, -inf in places that are empty.
    """
    exists = items >= 0
    rows = torch.where(exists, items, 0)
    total = torch.zeros(items.shape, dtype=log_probs.dtype, device=log_probs.device)
    for digit, of_item in enumerate(codes.T.contiguous()):
        total += log_probs[:, digit].gather(1, of_item[rows])
    return (total / codes.size(1)).masked_fill(~exists, -torch.inf)


def log_likelihood_of_all(log_probs: Tensor, codes: Tensor) -> Tensor:
    """Mean log-probability of a digit of every item.

    A few users at a time: a digit's code is looked up once for all of them, as a row of their log-probabilities, and
    memory never holds users x items x digits.

    Args:
        log_probs: of each code of each digit `[B, L, C]`.
        codes: of all items `[n_items, L]`.

    Returns:
        `[B, n_items]`.
    """
    digits, size = log_probs.shape[1:]
    rows = codes + torch.arange(digits, device=codes.device) * size
    tables = (users.flatten(1).T.contiguous() for users in torch.split(log_probs, USERS))  # [L * C, up to USERS]
    blocks = [F.embedding_bag(rows, table, mode="sum").T for table in tables]
    return torch.cat(blocks) / digits
