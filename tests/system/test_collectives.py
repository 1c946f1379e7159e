"""What goes between processes: GPU tensors by the GPU's backend, CPU tensors and plain values by gloo."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from pretended_gpu import CPU, GPU, PretendedGpu
from torch import Tensor
from torch.testing._internal.distributed import fake_pg  # noqa: F401  # registers the backend `fake`
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from recbole_specgr.system import processes

PACKAGE = Path(processes.__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")


class Sent(TorchDispatchMode):
    """The devices of the tensors of each collective, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: list[torch.device] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            devices = {x.device for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)}
            assert len(devices) <= 1, f"{func} is given tensors of {devices}"
            self.devices += devices
        return func(*args, **(kwargs or {}))


@pytest.fixture
def sent() -> Iterator[Sent]:
    """A process with a pretended GPU, in a group of two backends as `join_processes` makes it, that takes itself for
    the first of two."""
    dist.init_process_group("cpu:gloo,cuda:fake", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with PretendedGpu() as gpu, mock.patch.object(processes, "world", lambda: (0, 2)), Sent() as sent:
            yield sent
        assert not gpu.reads, "no value of the GPU is read for the sake of the other processes"
    finally:
        dist.destroy_process_group()


def test_tensors_of_a_gpu_stay_there(sent) -> None:
    x = torch.rand(3, 2, device=GPU, requires_grad=True)
    rows = processes.gather_rows(x)
    assert rows.device == GPU and sent.devices == [CPU, GPU]  # how many rows each process has, and the rows
    sent.devices.clear()
    rows.square().sum().backward()
    assert x.grad is not None and x.grad.device == GPU and sent.devices == [GPU]
    sent.devices.clear()
    mean = processes.mean_over_processes(torch.rand(2, device=GPU))
    assert mean.device == GPU and sent.devices == [GPU]
    sent.devices.clear()
    shared = processes.share_rows(lambda part: part + 1, torch.rand(4, 2, device=GPU))
    assert shared.device == GPU and sent.devices == [CPU, GPU]


def test_tensors_of_the_cpu_and_plain_values_go_by_gloo(sent) -> None:
    assert processes.gather_rows(torch.rand(3)).device == CPU
    processes.fraction_of_rows(3)
    assert processes.any_process(True, False) == (True, False)
    assert processes.from_first_process({"a": 1}) == {"a": 1}
    processes.from_all_processes("value")
    processes.wait_for_all()
    with processes.first_rank_first():
        pass
    assert set(sent.devices) == {CPU} and len(sent.devices) > 6


def test_mixed_devices_are_noticed(sent) -> None:
    with pytest.raises(AssertionError, match="is given tensors of"):
        dist.all_gather([torch.empty(2)], torch.rand(2, device=GPU))


def test_two_backends_or_one(monkeypatch) -> None:
    """nccl takes the tensors of GPUs of their own; processes that share one have gloo alone."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with mock.patch.object(dist, "init_process_group") as joined:
        processes.join_processes(nccl=True, minutes=1)
        processes.join_processes(nccl=False, minutes=1)
    assert [call.args[0] for call in joined.call_args_list] == ["cpu:gloo,cuda:nccl", "gloo"]


def test_collectives_are_called_in_one_file() -> None:
    """The tests above are then about all of them."""
    kinds = ("all_", "broadcast", "gather", "reduce", "scatter")
    names = {name for name in dist.distributed_c10d.__all__ if name.startswith(kinds)}
    names |= {"barrier", "monitored_barrier", "send", "recv"}
    assert {"all_reduce", "broadcast_object_list"} <= names
    callers = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in names
        and ast.unparse(node.value) in ("dist", "torch.distributed")
    }
    assert callers == {"system/processes.py"}
