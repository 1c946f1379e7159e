"""What to do when memory runs out, with the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from recbole_specgr.system.errors import UserError

GB = 1024**3


@contextmanager
def out_of_memory_advice(config, training: bool) -> Iterator[None]:
    """Turn "out of memory" of the GPU or of the machine into a message that says how much there is and what helps.

    Raises:
        UserError: memory ran out.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        advice = _training_advice(config) if training else _evaluation_advice(config)
        wanted = re.search(r"allocate ([\d.]+ \w+)", str(error))
        asked = f"{wanted[1]} more" if wanted else "more"
        raise UserError(f"Out of memory, {asked} needed: {_use(config['device'])}. {advice}") from error


def memory_gb(device: torch.device) -> float:
    """GB (2^30 bytes) in use: of the GPU by tensors, else of main memory by this process."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / GB
    return psutil.Process().memory_info().rss / GB


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _use(device: torch.device) -> str:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        peak = torch.cuda.max_memory_allocated(device)
        return (
            f"{torch.cuda.get_device_name(device)} has {total / GB:.1f} GB, {free / GB:.1f} of them free; tensors had "
            f"{peak / GB:.1f} GB at most"
        )
    memory = psutil.virtual_memory()
    return (
        f"the machine has {memory.total / GB:.1f} GB, {memory.available / GB:.1f} of them free; this process has "
        f"{memory_gb(device):.1f} GB"
    )


def _training_advice(config) -> str:
    processes, steps = config["world_size"], config["accumulation_steps"] or 1
    rows = f"train_batch_size {config['train_batch_size']}"
    if config["contrastive_batch_size"]:
        rows += f", contrastive_batch_size {config['contrastive_batch_size']}"
    tips = [f"a batch in more parts (--accumulation_steps={2 * steps}, the same gradients except for in-batch losses)"]
    if not config["activation_checkpointing"]:
        tips.append("--activation_checkpointing (the same gradients, about a third more time)")
    if config["precision"] == "fp32":
        tips.append("--precision=bf16")
    tips += ["more processes, which share a batch", "a smaller batch"]
    return (
        f"A step has {rows} over {processes} process{'es' if processes > 1 else ''}, in {steps} "
        f"part{'s' if steps > 1 else ''}. What helps: {'; '.join(tips)}. Then go on with --resume."
    )


def _evaluation_advice(config) -> str:
    half = max(1, config["eval_batch_size"] // 2)
    return f"A batch has {config['eval_batch_size']} users; take fewer: --eval_batch_size={half}. Then use --resume."
