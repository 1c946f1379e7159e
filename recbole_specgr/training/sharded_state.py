"""State whose tensors FSDP has spread over the processes: made whole for files, and spread again."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


def gathered(value: Any) -> Any:
    """A state dict with whole tensors in place of spread ones. Every process must ask."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: gathered(member) for key, member in value.items()}
    if isinstance(value, list):
        return [gathered(member) for member in value]
    return value


def spread(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor spread as `like` is."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def load_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict` of whole tensors, spread as the parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = {
        number: {name: spread(value, parameters[number]) if _is_moment(value) else value for name, value in own.items()}
        for number, own in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _is_moment(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0
