"""AdamW."""

from torch import nn
from torch.optim import AdamW


def build_adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> AdamW:
    """AdamW over the parameters that are trained; only matrices decay, biases and norms do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=learning_rate)
