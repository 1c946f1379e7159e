from __future__ import annotations

import shutil

import pytest
import torch

from recbole_specgr.backbones.rotary import Rotation


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_turning_compiles_for_batches_of_any_shape() -> None:
    """With buffers that are written in place torch 2.13 failed at the second shape, on the shape's product."""

    def turned(x: torch.Tensor, turn: Rotation) -> torch.Tensor:
        return turn(x)

    compiled = torch.compile(turned)
    for users, length in ((3, 4), (4, 5), (5, 7)):
        turn = Rotation.at(torch.arange(length), 8, 10_000.0, torch.zeros(1))
        x = torch.randn(users, length, 16, requires_grad=True)
        expected, given = turned(x, turn), compiled(x, turn)
        torch.testing.assert_close(given, expected)
        upstream = torch.randn_like(expected)
        gradients = [torch.autograd.grad(y, x, upstream)[0] for y in (expected, given)]
        torch.testing.assert_close(*gradients)
