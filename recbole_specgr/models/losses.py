"""The losses that make users' and items' vectors meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.system.processes import gather_rows, share_rows


def contrastive_loss(
    users: Tensor, items: Tensor, targets: Tensor, temperature: float, owners: Tensor | None = None
) -> Tensor:
    """In-batch cross entropy of each row's target against the other rows' (paper, Eq. 4).

    Rows of the same target are no negatives of each other. Each distinct target is embedded once; a negative that is
    the target of m rows counts m times, as the sum over the batch has it.

    Args:
        users: unit vectors `[B, d]`.
        items: unit vectors of the distinct targets `[U, d]`.
        targets: each row's position among the distinct targets `[B]`.
        temperature: tau.
        owners: whose row each is, below B `[B]`. What an owner's other rows have as targets is then no negative of a
            row. Where many rows are of one user, these would be most of the negatives, and the model would learn to
            keep away from what its user likes. None: every row has an owner of its own.
    """
    # Not bincount, for whose shape the host would wait for the GPU.
    rows = users.new_zeros(len(items)).index_add_(0, targets, users.new_ones(len(targets)))
    if owners is None:
        others = rows.expand(len(targets), -1)
    else:
        of_owner = torch.zeros(len(targets), len(items), dtype=torch.bool, device=items.device)
        of_owner[owners, targets] = True
        others = torch.where(of_owner[owners], 0.0, rows)
    weights = others.log().scatter(1, targets[:, None], 0.0)
    return F.cross_entropy((users / temperature) @ items.T + weights, targets)


def batch_contrast(
    users: Tensor,
    targets: Tensor,
    embed: Callable[[Tensor], Tensor],
    temperature: float,
    owners: Tensor | None = None,
) -> Tensor:
    """`contrastive_loss` of the rows of all processes, which share the work of embedding the targets.

    Every process has the whole loss; the gradient reaches the rows where they were made.

    Args:
        users: unit vectors of this process's rows `[B, d]`.
        targets: their items' ids `[B]`.
        embed: ids `[U]` -> unit vectors `[U, d]`.
        owners: the users' ids `[B]`, where rows of one user are no negatives of each other.
    """
    distinct, place = gather_rows(targets).unique(return_inverse=True)
    if owners is not None:
        owners = gather_rows(owners).unique(return_inverse=True)[1]
    return contrastive_loss(gather_rows(users), share_rows(embed, distinct), place, temperature, owners)


def ranking_loss(users: Tensor, items: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Cross entropy over a whole table of items: Eq. 4 with every (seen) item in the batch.

    Args:
        users: unit vectors `[B, d]`.
        items: unit vectors `[n, d]`.
        targets: rows of `items` `[B]`.
        temperature: tau.
    """
    # Users are divided, for they are few, and the matrix of all scores is large.
    return F.cross_entropy((users / temperature) @ items.T, targets)


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
