"""Hugging Face accelerate around our own models: their losses on all processes, by DDP or FSDP."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, patch_environment
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn

from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import backends
from recbole_specgr.system.sharded_state import gathered
from recbole_specgr.training.meter import named_losses


class Losses(nn.Module):
    """`calculate_loss` as a forward pass, which is what DDP and FSDP wrap; a loss has its name."""

    def __init__(self, model: SequentialRecommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Interaction) -> dict[str, Tensor]:
        return named_losses(self.model.calculate_loss(batch))


class Parallel:
    """The losses of a model and their gradients, of which every process computes its part.

    Precision is not accelerate's here: its state is one for the whole program, and a stage may have its own.

    Under FSDP a copy of the model is trained, whose gradients and optimiser are spread over the processes, and so are
    its parameters from one step to the next.
    The model itself stays whole, for evaluation and files; `collect` brings it up to date. It is torch's FSDP itself:
    accelerate's takes DDP in its place, without a word, where there are no GPUs.

    Args:
        config: `parallel` is ddp or fsdp.

    Attributes:
        trained: the model whose parameters are trained.
    """

    def __init__(self, model: nn.Module, config):
        self.spread = config["parallel"] == "fsdp" and config["world_size"] > 1
        self.accelerator = _accelerator(config["device"])
        self.model = model
        self.trained = copy.deepcopy(model) if self.spread else model
        self.losses: Any = Losses(self.trained)  # then as FSDP or DDP has it
        if self.spread:
            if config["device"].type == "cuda" and "nccl" not in backends():
                raise UserError(
                    f"[parallel: fsdp] needs a GPU for each process; by [gpu_id: {config['gpu_id']}] some share one."
                )
            from torch.distributed.device_mesh import init_device_mesh  # seconds that few runs need
            from torch.distributed.fsdp import fully_shard

            # All of it at once and not layer by layer: models reach into their layers past the layers' own forward.
            fully_shard(self.losses, mesh=init_device_mesh(config["device"].type, (config["world_size"],)))
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            self.losses = self.accelerator.prepare(self.losses)

    @torch.no_grad()
    def collect(self) -> None:
        """Have the trained parameters in the model, and what was put into buffers meanwhile, such as items' vectors.
        Every process must ask."""
        if self.spread:
            for own, other in zip(self.model.parameters(), self.trained.parameters(), strict=True):
                own.copy_(gathered(other))
            for kept, now in zip(self.model.buffers(), self.trained.buffers(), strict=True):
                kept.copy_(now)

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Around the parts of a batch: the processes' gradients are only joined by the last one."""
        if self.spread:
            self.losses.set_requires_gradient_sync(last)
        with nullcontext() if last or self.spread else self.accelerator.no_sync(self.losses):
            yield

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def clip(self, max_norm: float, norm_type: float = 2.0) -> None:
        """Scale the gradients down to a norm of `max_norm`."""
        self.accelerator.clip_grad_norm_(self.losses.parameters(), max_norm, norm_type)


def _accelerator(device: torch.device) -> Accelerator:
    """An accelerator on this process's device.

    Accelerate keeps the first device it was given for the whole program, and takes the GPU of the local rank, where
    `gpu_id` may name others.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    own = {"local_rank": device.index} if device.type == "cuda" and "LOCAL_RANK" in os.environ else {}
    with patch_environment(**own):
        return Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",
            device_placement=False,  # the model has its device, and batches are moved one by one
            # Buffers never change in training, and text features are large.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
        )
