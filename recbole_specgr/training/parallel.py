"""Hugging Face accelerate around our own models: their losses on all processes, by DDP or FSDP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.optim import Optimizer

from recbole_specgr.training.activations import repeated_layers
from recbole_specgr.training.meter import named_losses


class Losses(nn.Module):
    """`calculate_loss` as a forward pass, which is what DDP and FSDP wrap; a loss has its name."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch) -> dict[str, Tensor]:
        return named_losses(self.model.calculate_loss(batch))


class Parallel:
    """The losses of a model and their gradients, of which every process computes its part.

    Precision is not accelerate's here: its state is one for the whole program, and a stage may have its own.

    Args:
        optimizer: of the model's parameters; under FSDP it is turned to the sharded ones.
        config: `parallel` is ddp or fsdp.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, config):
        sharded = config["parallel"] == "fsdp" and config["world_size"] > 1
        self.accelerator = Accelerator(
            cpu=config["device"].type == "cpu",
            mixed_precision="no",
            device_placement=False,  # the model has its device, and batches are moved one by one
            # Buffers never change in training, and text features are large.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)],
            fsdp_plugin=_fsdp(model) if sharded else None,
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
            if sharded:
                self.losses, _ = self.accelerator.prepare(Losses(model), optimizer)
            else:
                self.losses = self.accelerator.prepare(Losses(model))

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Around the parts of a batch: the processes' gradients are only joined by the last one."""
        with nullcontext() if last else self.accelerator.no_sync(self.losses):
            yield

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def clip(self, max_norm: float, norm_type: float = 2.0) -> None:
        """Scale the gradients down to a norm of `max_norm`."""
        self.accelerator.clip_grad_norm_(self.losses.parameters(), max_norm, norm_type)


def _fsdp(model: nn.Module) -> FullyShardedDataParallelPlugin:
    repeated = {type(layer).__name__ for layer in repeated_layers(model)}
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap" if repeated else "no_wrap",
        transformer_cls_names_to_wrap=sorted(repeated),
        cpu_ram_efficient_loading=False,
    )
