"""The pretended GPU finds the mistakes that it is there to find, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pretended_gpu import CPU, GPU, MixedDevices, PretendedGpu
from torch import nn


class Planted(nn.Module):
    """A layer over positions, right or with one mistake."""

    def __init__(self, mistake: str = "") -> None:
        super().__init__()
        self.mistake = mistake
        self.positions = nn.Embedding(8, 4)
        table = torch.arange(8)
        if mistake == "a table that is no buffer":
            self.table = table
        else:
            self.register_buffer("table", table)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        device = None if self.mistake == "a tensor of the CPU" else x.device
        places = torch.arange(x.size(1), device=device)
        if self.mistake == "a hidden read" and x.sum() > 0:
            places = places.flip(0)
        if self.mistake == "a mask":
            x = x[x > 0].sum() + x
        return (x + self.positions(self.table[places])).square().mean()


def trained(mistake: str, precision: torch.dtype | None = None) -> tuple[PretendedGpu, float]:
    torch.manual_seed(0)
    with PretendedGpu() as gpu:
        layer = Planted(mistake).to(GPU)
        optimizer = torch.optim.AdamW(layer.parameters())
        x = torch.rand(2, 5, 1).to(GPU)
        with torch.autocast("cuda", precision, enabled=precision is not None):
            loss = layer(x)
        loss.backward()
        assert layer.positions.weight.grad.device == GPU
        optimizer.step()
        return gpu, float(loss.detach().to(CPU))


def test_a_layer_without_a_mistake_passes_and_gives_what_the_cpu_gives() -> None:
    gpu, loss = trained("")
    torch.manual_seed(0)
    layer = Planted()
    assert loss == layer(torch.rand(2, 5, 1)).item()
    assert [place.rpartition("/")[2] for place in gpu.reads] == ["test_pretended_gpu.py: trained"]


@pytest.mark.parametrize("mistake", ["a tensor of the CPU", "a table that is no buffer"])
def test_tensors_of_two_devices_are_an_error(mistake: str) -> None:
    with pytest.raises(MixedDevices, match="cpu"):
        trained(mistake)


@pytest.mark.parametrize("mistake", ["a hidden read", "a mask"])
def test_a_hidden_read_is_counted(mistake: str) -> None:
    gpu, _ = trained(mistake)
    assert any(place.endswith(": forward") for place in gpu.reads), gpu.reads


def test_what_reads_and_what_does_not() -> None:
    with PretendedGpu() as gpu:
        x, mask = torch.rand(4, device="cuda"), torch.ones(4, dtype=torch.bool, device="cuda:0")
        copies = [
            x + 1, x * torch.tensor(2.0), torch.where(mask, x, 0.0), x.masked_fill(mask, 0), x[1:], x.topk(2).values,
            nn.functional.one_hot(mask.long(), 3), x.new_zeros(3), torch.zeros_like(x), x.double(), x.to(torch.half),
            torch.nn.functional.pad(x, (1, 1)), torch.einsum("i,i->", x, x), torch.cat([x, x]), x.clone().fill_(2),
            torch.empty(4, device=GPU).copy_(torch.rand(4)), torch.full((2,), 3, device=GPU), x.new_tensor([1, 2]),
        ]  # fmt: skip
        assert all(y.device == GPU and y.is_cuda for y in copies) and not gpu.reads
        copies[0][mask] = 0.0
        assert not gpu.reads
        for number, read in enumerate(
            (
                lambda: x.sum().item(), lambda: bool(mask.any()), x.tolist, x.cpu, mask.nonzero, lambda: x[mask],
                lambda: x.to("cpu"), lambda: torch.rand(4).copy_(x), lambda: int(x.argmax()), lambda: f"{x[0]:.3f}",
                lambda: torch.equal(x, x), x.unique, lambda: torch.repeat_interleave(x, mask.long()),
            ),
            1,
        ):  # fmt: skip
            read()
            assert sum(gpu.reads.values()) == number, number
        assert torch.zeros_like(x, device="cpu").device == x.cpu().device == torch.arange(3).device == CPU


def test_what_a_gpu_refuses() -> None:
    with PretendedGpu():
        x = torch.rand(3, device="cuda")
        for refused in (
            lambda: x + torch.rand(3), lambda: torch.cat([x, torch.zeros(1)]), lambda: x[torch.tensor([0])],
            lambda: x.gather(0, torch.tensor([0])), lambda: torch.rand(3, 3) @ x, lambda: x.sum() + torch.rand(3),
            lambda: torch.randperm(3, device=GPU, generator=torch.Generator()),
        ):  # fmt: skip
            with pytest.raises(MixedDevices):
                refused()
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(x)
        with pytest.raises(TypeError, match="RNG state"):
            torch.set_rng_state(torch.get_rng_state().to(GPU))
        with pytest.raises(RuntimeError, match="no device"):
            x.to("cuda:1")


def test_nothing_is_left_behind() -> None:
    before = torch.Tensor.to, torch.arange, torch.cuda.is_available, torch.cuda.is_available()
    with PretendedGpu():
        assert torch.cuda.is_available() and torch.rand(2, device="cuda").device == GPU
    assert before == (torch.Tensor.to, torch.arange, torch.cuda.is_available, torch.cuda.is_available())
    assert torch.rand(2).device == CPU and "device" not in vars(torch.Tensor)


def test_bfloat16_is_computed_as_autocast_does() -> None:
    assert abs(trained("", torch.bfloat16)[1] - trained("")[1]) < 1e-2
