"""The losses against sums written out row by row."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from recbole_specgr.models.losses import batch_contrast, contrastive_loss

TAU = 0.3


def written_out(users, items, targets, owners) -> float:
    """Eq. 4, row by row: all targets but those of the row's owner are negatives, as often as they occur."""
    losses = []
    for row, own in enumerate(targets):
        of_owner = {other for other, owner in zip(targets, owners, strict=True) if owner == owners[row]}
        compared = [own] + [other for other in targets if other != own and other not in of_owner]
        scores = [math.exp(float(users[row] @ items[item]) / TAU) for item in compared]
        losses.append(-math.log(scores[0] / sum(scores)))
    return sum(losses) / len(losses)


@pytest.fixture
def vectors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (8, 4))
    users, items = (F.normalize(some, dim=1) for some in made)
    return users, items


TARGETS = [0, 1, 1, 2, 3, 3, 3, 0]


@pytest.mark.parametrize("owners", [None, [0, 0, 1, 1, 2, 2, 3, 4], [5, 5, 5, 5, 5, 5, 5, 2], [1] * 8])
def test_contrast_is_that_of_the_paper(vectors, owners) -> None:
    users, items = vectors
    given = None if owners is None else torch.tensor(owners)
    loss = contrastive_loss(users.requires_grad_(), items, torch.tensor(TARGETS), TAU, given)
    expected = written_out(users.detach(), items, TARGETS, range(8) if owners is None else owners)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    loss.backward()
    assert users.grad.isfinite().all()


def test_contrast_takes_the_ids_of_items_and_users(vectors) -> None:
    """Whatever numbers they have."""
    users, items = vectors
    table = torch.zeros(100, 5, dtype=torch.float64)
    table[[11, 23, 42, 99]] = items
    ids = torch.tensor([11, 23, 42, 99])[torch.tensor(TARGETS)]
    owners = [0, 0, 1, 1, 2, 2, 3, 4]
    loss = batch_contrast(users, ids, lambda some: table[some], TAU, 1_000 * torch.tensor(owners) + 7)
    assert loss.item() == pytest.approx(written_out(users, items, TARGETS, owners), abs=1e-12)
