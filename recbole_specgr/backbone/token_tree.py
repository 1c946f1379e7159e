"""What the decoder keeps between calls: the users' memories and their growing token trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass
class Memory:
    """The encoder's output as the decoder reads it, for B users.

    Attributes:
        keys, values: a tensor `[B, heads, S, d_kv]` for each decoder layer.
        bias: additive padding mask `[B, 1, 1, S]`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor

    def select(self, users: Tensor) -> Memory:
        """The memory of some users, `users` `[b]`."""
        return Memory([k[users] for k in self.keys], [v[users] for v in self.values], self.bias[users])


class TokenTree:
    """Keys and values of every node that was ever extended, for B users at once.

    Nodes are numbered by *slots* in the order in which they came; slot 0 is the root. A slot has the same depth for
    every user. Buffers grow by doubling. Nothing is read back from the device, nor sent to it.

    Args:
        users: B.
        layers: number of decoder layers.
        capacity: slots to allocate at once.
    """

    def __init__(self, users: int, layers: int, capacity: int = 128) -> None:
        self.users, self.capacity = users, capacity
        self.slots = 0
        self.depths: Tensor | None = None  # [slots]
        self.ancestors: Tensor | None = None  # [B, capacity, capacity]: the node itself and all above it
        self.keys: list[Tensor | None] = [None] * layers  # [B, heads, capacity, d_kv]
        self.values: list[Tensor | None] = [None] * layers

    def grow(self, parents: Tensor, n: int, depth: int) -> int:
        """Reserve n slots below the slots `parents` `[B, n]`; returns the first of them."""
        first, end = self.slots, self.slots + n
        self.slots = end
        new = torch.full((n,), depth, device=parents.device)
        self.depths = torch.cat([self.depths, new]) if first else new
        while self.capacity < end:
            self.capacity *= 2
        if self.ancestors is None:
            self.ancestors = parents.new_zeros(self.users, self.capacity, self.capacity, dtype=torch.bool)
        elif self.ancestors.size(1) < end:
            missing = self.capacity - self.ancestors.size(1)
            self.ancestors = F.pad(self.ancestors, (0, missing, 0, missing))
        if first:
            above = self.ancestors[:, :first, :first].gather(1, parents[:, :, None].expand(-1, -1, first))
            self.ancestors[:, first:end, :first] = above
        self.ancestors[:, first:end, first:end] = torch.eye(n, dtype=torch.bool, device=parents.device)
        return first

    def attention_bias(self, first: int, position_bias: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Additive bias `[B, heads, n, slots]` of the nodes from slot `first` on: relative depth, or -inf."""
        visible = self.ancestors[:, None, first : self.slots, : self.slots]
        return torch.where(visible, position_bias(self.depths[first:], self.depths), float("-inf"))

    def store(self, layer: int, first: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values `[B, heads, n, d_kv]` of the nodes from slot `first` on; returns those of all slots."""
        for buffers, new in ((self.keys, key), (self.values, value)):
            if buffers[layer] is None:
                buffers[layer] = new.new_empty(*new.shape[:2], self.capacity, new.size(3))
            elif buffers[layer].size(2) < self.slots:
                grown = new.new_empty(*new.shape[:2], self.capacity, new.size(3))
                grown[:, :, :first] = buffers[layer][:, :, :first]
                buffers[layer] = grown
            buffers[layer][:, :, first : self.slots] = new
        return self.keys[layer][:, :, : self.slots], self.values[layer][:, :, : self.slots]

    def select(self, users: Tensor) -> TokenTree:
        """The trees of some users, `users` `[b]`."""
        tree = TokenTree(len(users), len(self.keys), self.capacity)
        tree.slots, tree.depths = self.slots, self.depths
        tree.ancestors = self.ancestors[users]
        tree.keys, tree.values = [k[users] for k in self.keys], [v[users] for v in self.values]
        return tree
