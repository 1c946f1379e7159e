"""The losses that make users' and items' vectors meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.system.processes import gather_rows, share_rows


def contrastive_loss(users: Tensor, items: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """In-batch cross entropy of each row's target against the other rows' (paper, Eq. 4).

    Rows of the same target are no negatives of each other. Each distinct target is embedded once; a negative that is
    the target of m rows counts m times, as the sum over the batch has it.

    Args:
        users: unit vectors `[B, d]`.
        items: unit vectors of the distinct targets `[U, d]`.
        targets: each row's position among the distinct targets `[B]`.
        temperature: tau.
    """
    # Not bincount, for whose shape the host would wait for the GPU.
    rows = users.new_zeros(len(items)).index_add_(0, targets, users.new_ones(len(targets))).log()
    logits = users @ items.T / temperature + rows
    own = F.one_hot(targets, len(items)).to(users.dtype) * rows
    return F.cross_entropy(logits - own, targets)


def batch_contrast(users: Tensor, targets: Tensor, embed: Callable[[Tensor], Tensor], temperature: float) -> Tensor:
    """`contrastive_loss` of the rows of all processes, which share the work of embedding the targets.

    Every process has the whole loss; the gradient reaches the rows where they were made.

    Args:
        users: unit vectors of this process's rows `[B, d]`.
        targets: their items' ids `[B]`.
        embed: ids `[U]` -> unit vectors `[U, d]`.
    """
    distinct, place = gather_rows(targets).unique(return_inverse=True)
    return contrastive_loss(gather_rows(users), share_rows(embed, distinct), place, temperature)


def ranking_loss(users: Tensor, items: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross entropy over a whole table of items: Eq. 4 with every (seen) item in the batch.

    Args:
        users: unit vectors `[B, d]`.
        items: unit vectors `[n, d]`.
        targets: rows of `items` `[B]`.
        temperature: tau.
    """
    return F.cross_entropy(users @ items.T / temperature, targets)


def sampled_ranking_loss(users: Tensor, items: Tensor, targets: Tensor, temperature: float, negatives: int) -> Tensor:
    """`ranking_loss` among the target and some items drawn at random, each as likely as any other.

    All users of the batch share the draw. A user's target counts once, also where it was drawn.

    Args:
        users: unit vectors `[B, d]`.
        items: unit vectors `[n, d]`.
        targets: rows of `items` `[B]`.
        temperature: tau.
        negatives: how many are drawn, with replacement.
    """
    drawn = torch.randint(len(items), (negatives,), device=items.device)
    logits = (users @ items[drawn].T).masked_fill(drawn == targets[:, None], -torch.inf)
    own = (users * items[targets]).sum(1, keepdim=True)
    return F.cross_entropy(torch.cat([own, logits], 1) / temperature, torch.zeros_like(targets))
