"""State whose tensors FSDP has spread over the processes: made whole for files, and spread again."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def is_spread(value: Any) -> bool:
    """It is a DTensor, told without importing DTensor's module, which takes seconds that few runs need."""
    return isinstance(value, Tensor) and type(value).__name__ == "DTensor"


def gathered(value: Any) -> Any:
    """A state dict with whole tensors in place of spread ones. Every process must ask."""
    if is_spread(value):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: gathered(member) for key, member in value.items()}
    if isinstance(value, list):
        return [gathered(member) for member in value]
    return value


def spread(value: Tensor, like: Any) -> Tensor:
    """A whole tensor spread as `like` is."""
    if not is_spread(like):
        return value
    from torch.distributed.tensor import distribute_tensor

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
