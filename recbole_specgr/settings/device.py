"""The device and the place of this process among others, as torchrun's environment and `gpu_id` say."""

import os
from logging import getLogger
from pathlib import Path
from typing import Any

import torch

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import join_processes

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")  # there on Linux where the driver is loaded


def find_device(use_gpu: bool, gpu_id: Any, wait_minutes: float) -> dict[str, Any]:
    """Join the other processes that torchrun started, and return what RecBole's Config says of the device.

    RecBole's own way expects its own launcher and nccl, and hides GPUs from the process.

    Args:
        gpu_id: the GPU of a single process, the first where empty. Under torchrun, the GPUs of its processes in their
            order, such as `0,1`, or `0,0` for two processes on one; empty or one number lets each process take the GPU
            of its own local rank.
        wait_minutes: how long a process waits for the others.

    Returns:
        device, single_spec, rank, local_rank, world_size.

    Raises:
        UserError: there is no such GPU; several GPUs for one process.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    rank, local_rank = int(os.environ.get("RANK", 0)), int(os.environ.get("LOCAL_RANK", 0))
    numbers = _gpu_numbers(gpu_id)
    index = _gpu_index(numbers, world_size, local_rank)
    cuda = bool(use_gpu) and torch.cuda.is_available()
    device = torch.device("cuda", index) if cuda else torch.device("cpu")
    if cuda:
        if index >= torch.cuda.device_count():
            raise UserError(f"There is no GPU {index}: this machine shows {torch.cuda.device_count()}.")
        torch.cuda.set_device(device)
    elif use_gpu and rank == 0 and NVIDIA_DRIVER.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != "":
        getLogger().warning(
            f"This machine has an NVIDIA driver, but torch {torch.__version__} finds no GPU: everything is computed on "
            f"the CPU. {'Look at nvidia-smi.' if torch.version.cuda else 'This torch was built without CUDA.'} How to "
            f"install it with CUDA: docs/install.md. --use_gpu=False ends this warning."
        )
    # nccl refuses processes that share a GPU; gloo sends their tensors by way of the CPU.
    join_processes(cuda and len(set(numbers)) == len(numbers), wait_minutes)
    return {
        "device": device,
        "single_spec": world_size == 1,
        "rank": rank,
        "local_rank": local_rank,
        "world_size": world_size,
    }


def _gpu_numbers(gpu_id: Any) -> list[int]:
    """`""` -> [], `1` -> [1], `"0,1"` or `[0, 1]` -> [0, 1]."""
    text = ",".join(map(str, gpu_id)) if isinstance(gpu_id, list) else "" if gpu_id is None else str(gpu_id)
    numbers = [number.strip() for number in text.split(",")] if text.strip() else []
    if not all(number.isdecimal() for number in numbers):
        raise UserError(f"[gpu_id] must be the number of a GPU, such as 0, but is [{gpu_id}].")
    return [int(number) for number in numbers]


def _gpu_index(numbers: list[int], world_size: int, local_rank: int) -> int:
    if world_size == 1 and len(numbers) > 1:
        raise UserError(
            f"[gpu_id] names {len(numbers)} GPUs, but there is one process. Start one for each GPU: "
            f"torchrun --nproc_per_node={len(numbers)} -m recbole_specgr --gpu_id={','.join(map(str, numbers))} ..."
        )
    if world_size == 1:
        return numbers[0] if numbers else 0
    if len(numbers) < 2:
        return local_rank
    if local_rank >= len(numbers):
        raise UserError(f"[gpu_id] names {len(numbers)} GPUs, but torchrun started more processes on this machine.")
    return numbers[local_rank]
