"""The processes that torchrun started: joining them, waiting for the first of them, and tensors from all of them.

Without torchrun there is one process, and everything here does the obvious thing without communication.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from recbole_specgr.system.errors import UserError

T = TypeVar("T")

_ordered = False  # inside first_rank_first


def join_processes(nccl: bool, minutes: float) -> None:
    """Join the other processes of torchrun's environment: gloo for CPU tensors and plain values, nccl for GPU tensors.

    Args:
        nccl: without it gloo takes the GPU tensors, too.
        minutes: how long a process waits for the others, here and in everything that follows.

    Raises:
        UserError: not all of them came.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if nccl else "gloo", timeout=datetime.timedelta(minutes=float(minutes))
        )
    except dist.DistStoreError as error:
        raise UserError(
            f"Not all of the {os.environ['WORLD_SIZE']} processes came together at {os.environ.get('MASTER_ADDR')}:"
            f"{os.environ.get('MASTER_PORT')} within {minutes:g} minutes ({_first_line(error)}). Check that the same "
            f"command runs on every machine and that they reach that address; --wait_minutes says how long to wait."
        ) from error


def leave_processes() -> None:
    """The opposite of `join_processes`."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def backends() -> str:
    """What carries tensors between the processes, such as `cpu:gloo,cuda:nccl`; "" for a single process."""
    return str(dist.get_backend_config()) if dist.is_initialized() else ""


@contextmanager
def first_rank_first() -> Iterator[None]:
    """Let the first process run the block alone (and fill the cache), then the others; a single process just runs it.

    A block inside another one just runs: the outer one keeps the order.

    Raises:
        UserError: in the other processes, when the first one failed, or took longer than `wait_minutes`.
    """
    global _ordered
    rank, size = world()
    if size == 1 or _ordered:
        yield
        return
    succeeded = torch.zeros(1, dtype=torch.int64)
    if rank:
        _wait_for(succeeded)
    _ordered = True
    try:
        yield
        succeeded.fill_(1)
    finally:
        _ordered = False
        if not rank:
            dist.broadcast(succeeded, 0)


def _wait_for(succeeded: Tensor) -> None:
    try:
        dist.broadcast(succeeded, 0)
    except RuntimeError as error:
        raise UserError(
            f"The first process did not finish what the others wait for ({_first_line(error)}). When it only needs "
            f"longer, such as for encoding the texts of a large catalogue, raise --wait_minutes, or run the command "
            f"once with one process: what it computes is kept."
        ) from error
    if not succeeded:
        raise UserError("The first process failed; its message says why.")


def wait_for_all() -> None:
    """Go on when every process is here. A file that the first one wrote before it is there for the others after it."""
    if dist.is_initialized():
        dist.barrier()


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes `[n, ...]`, those of the first process first: `[sum of n, ...]`.

    n may differ between processes. The gradient of a row is the sum of what it gets from the losses of all processes,
    so a loss over gathered rows has, after the mean over processes that data parallel training takes, the gradient
    that it has in one process.
    """
    if world()[1] == 1:
        return rows
    if torch.is_grad_enabled() and rows.requires_grad:
        return _GatherRows.apply(rows)
    return _gather(rows)[0]


def share_rows(compute: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """`compute(rows)` `[n, ...]`, of which every process computes a part.

    Args:
        compute: makes a row of each row, without regard to the others.
        rows: the same `[n, ...]` in all processes.
    """
    rank, size = world()
    if size == 1 or len(rows) < size:
        return compute(rows)
    return gather_rows(compute(rows.tensor_split(size)[rank]))


def fraction_of_rows(count: int) -> float:
    """This process's share of the rows of all processes, of which it has `count`. Every process must ask."""
    if world()[1] == 1:
        return 1.0
    total = torch.tensor(count)
    dist.all_reduce(total)
    return count / int(total)


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor that all processes have in the same shape."""
    size = world()[1]
    if size == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / size


def any_process(*flags: bool) -> tuple[bool, ...]:
    """For each of `flags` whether any process has it, so that all decide alike. Every process must ask."""
    if world()[1] == 1:
        return flags
    tensor = torch.tensor(flags, dtype=torch.int32)  # a CPU tensor: no GPU waits for it
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tuple(bool(flag) for flag in tensor)


def from_first_process(value: T) -> T:
    """The first process's plain `value`, in all of them."""
    if world()[1] == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def from_all_processes(value: T) -> list[T]:
    """The plain values of all processes, in their order."""
    if world()[1] == 1:
        return [value]
    values = [value] * world()[1]
    dist.all_gather_object(values, value)
    return values


def share_of(count: int) -> int:
    """How many of `count` rows this process has, when row i is process i's modulo the number of processes."""
    rank, size = world()
    return len(range(rank, count, size))


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        gathered, sizes = _gather(rows)
        ctx.sizes = sizes
        return gathered

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.to(torch.promote_types(grad.dtype, torch.float32), copy=True)
        dist.all_reduce(total)
        return total.split(ctx.sizes)[dist.get_rank()].to(grad.dtype)


def _gather(rows: Tensor) -> tuple[Tensor, list[int]]:
    """The rows of all processes, and how many each has. They travel as bytes: gloo knows few types."""
    counts = [torch.empty(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)]))  # CPU tensors: no GPU waits for them
    sizes = [int(count) for count in counts]
    width = prod(rows.shape[1:])
    sent = rows.new_zeros(max(sizes), width)
    sent[: len(rows)] = rows.detach().reshape(len(rows), width)
    sent = sent.view(torch.uint8)
    parts = [torch.empty_like(sent) for _ in sizes]
    dist.all_gather(parts, sent)
    gathered = torch.cat([part[:size] for part, size in zip(parts, sizes)])
    return gathered.view(rows.dtype).reshape(-1, *rows.shape[1:]), sizes


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
