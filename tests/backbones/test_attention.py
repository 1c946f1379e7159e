"""Causal attention against a loop over positions in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recbole_specgr.backbones.attention import attend_causally


def by_position(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Each position by itself: what it weighs are the keys up to its own."""
    read = []
    for n in range(query.size(2)):
        scores = torch.einsum("bhd,bhkd->bhk", query[:, :, n], key[:, :, : n + 1]) / query.size(-1) ** 0.5
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        read.append(torch.einsum("bhk,bhkd->bhd", weights, value[:, :, : n + 1]))
    return torch.stack(read, 2)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_attention_and_its_gradients_are_those_of_a_loop_over_positions(dtype: torch.dtype, atol: float) -> None:
    generator = torch.Generator().manual_seed(3)
    exact = [torch.randn(3, 2, 7, 8, generator=generator, dtype=torch.float64) for _ in range(4)]
    given = [part.to(dtype).requires_grad_() for part in exact[:3]]
    expected = [part.detach().double().requires_grad_() for part in given]
    read, right = attend_causally(*given), by_position(*expected)
    assert read.dtype == dtype
    torch.testing.assert_close(read.double(), right, rtol=0, atol=atol)
    (read * exact[3].to(dtype)).sum().backward()
    (right * exact[3].to(dtype).double()).sum().backward()
    for ours, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [False, True])
def test_a_position_is_blind_to_what_comes_after_it(dtype: torch.dtype, trained: bool) -> None:
    torch.manual_seed(4)
    query, key, value = (torch.randn(2, 2, 6, 4, dtype=dtype, requires_grad=trained) for _ in range(3))
    later_key, later_value = key.detach().clone(), value.detach().clone()
    later_key[:, :, 4:] += 5
    later_value[:, :, 4:] -= 5
    first, second = attend_causally(query, key, value), attend_causally(query, later_key, later_value)
    assert torch.equal(first[:, :, :4], second[:, :, :4])
    assert not torch.equal(first[:, :, 4:], second[:, :, 4:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_takes_away_that_share_of_the_weights(dtype: torch.dtype) -> None:
    torch.manual_seed(5)
    same = torch.zeros(64, 2, 32, 4, dtype=dtype, requires_grad=True)  # all weights of a position are equal
    value = torch.eye(32, dtype=dtype).expand(64, 2, 32, 32)
    weights = attend_causally(same, same, value, dropout=0.25)[:, :, -1]
    assert (weights == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    kept = weights[weights > 0].float()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 32 / 0.75), rtol=0.01, atol=0)
