"""Activation checkpointing: less memory for more time, and the same gradients."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def repeated_layers(model: nn.Module) -> Iterator[nn.Module]:
    """The members of every ModuleList: what deep networks are deep by."""
    for blocks in model.modules():
        if isinstance(blocks, nn.ModuleList):
            yield from blocks


def checkpoint_activations(model: nn.Module) -> None:
    """Keep only what goes into the repeated layers and compute the rest again in the backward pass, with the same
    random numbers."""
    for layer in repeated_layers(model):
        layer.forward = partial(_checkpointed, type(layer).forward, layer)


def _checkpointed(forward, layer: nn.Module, *inputs, **options):
    if layer.training and torch.is_grad_enabled():
        return checkpoint(forward, layer, *inputs, use_reentrant=False, **options)
    return forward(layer, *inputs, **options)
