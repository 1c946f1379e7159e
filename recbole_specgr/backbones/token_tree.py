"""What is kept between two calls of decoding: the users' memories and their growing token trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from recbole_specgr.backbones.attention import KeysValues


@dataclass
class Memory:
    """The histories of B users as the layers that decode read them.

    Attributes:
        layers: what each layer attends to. A layer that reads more than keys and values derives from `KeysValues`.
        bias: additive mask `[B, 1, 1, S]` of what is not to be read, such as padding.
    """

    layers: Sequence[KeysValues]
    bias: Tensor

    def select(self, users: Tensor) -> Memory:
        """The memory of some users, `users` `[b]`."""
        every = {id(x): x for layer in self.layers for x in (layer.keys, layer.values)}  # layers may read the same
        some = {number: x[users] for number, x in every.items()}
        layers = [replace(own, keys=some[id(own.keys)], values=some[id(own.values)]) for own in self.layers]
        return replace(self, layers=layers, bias=self.bias[users])


@dataclass
class NewNodes:
    """Nodes of one depth that are to be put into the users' trees.

    Attributes:
        tokens: `[B, n]`.
        parents: slots of the parents in the tree `[B, n]`, all at `depth - 1`; for the root anything.
        depth: the root's is 0.
        columns: the part of the vocabulary that the next tokens are from.
        valid: `[B, n]`, False where a user has fewer than n new nodes; those hold no meaning. None: all are valid.
    """

    tokens: Tensor
    parents: Tensor
    depth: int
    columns: slice = field(default_factory=lambda: slice(None))
    valid: Tensor | None = None
    rows: Tensor | None = field(init=False)  # indices of the valid nodes in the flattened [B * n]; None: all are

    def __post_init__(self) -> None:
        self.rows = None if self.valid is None else self.valid.flatten().nonzero().squeeze(1)

    def pack(self, x: Tensor) -> Tensor:
        """`[B, n, d]` -> the valid rows `[R, d]`."""
        return x.flatten(0, 1) if self.rows is None else x.flatten(0, 1)[self.rows]

    def spread(self, x: Tensor) -> Tensor:
        """The valid rows `[R, d]` -> `[B, n, d]`."""
        shape = self.tokens.shape
        if self.rows is None:
            return x.unflatten(0, shape)
        return x.new_zeros(shape.numel(), x.size(1)).index_copy_(0, self.rows, x).unflatten(0, shape)

    def select(self, users: Tensor) -> NewNodes:
        """The new nodes of some users, `users` `[b]`."""
        valid = None if self.valid is None else self.valid[users]
        return NewNodes(self.tokens[users], self.parents[users], self.depth, self.columns, valid)


class NodeRows:
    """The new nodes of one call, as the R rows that pass through the projections: those that are valid.

    Args:
        new: of all depths, n nodes a user together.
    """

    def __init__(self, new: Sequence[NewNodes]) -> None:
        self.new = new
        self.counts = [nodes.tokens.size(1) for nodes in new]
        self.sizes = [nodes.tokens.numel() if nodes.rows is None else len(nodes.rows) for nodes in new]

    def joined(self, parts: list[Tensor], dim: int = 0) -> Tensor:
        """A part for each of `new`, side by side."""
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim)

    def pack(self, x: Tensor) -> Tensor:
        """`[B, n, d]` -> the valid rows `[R, d]`."""
        return self.joined([nodes.pack(part) for nodes, part in zip(self.new, x.split(self.counts, 1), strict=True)])

    def spread(self, x: Tensor) -> Tensor:
        """The valid rows `[R, d]` -> `[B, n, d]`."""
        parts = zip(self.new, x.split(self.sizes), strict=True)
        return self.joined([nodes.spread(part) for nodes, part in parts], 1)

    def log_probs(self, logits: Tensor) -> list[Tensor]:
        """Logits of the whole vocabulary `[R, vocab_size]` -> log-probabilities `[B, n, len(columns)]` for each of
        `new`."""
        return [
            nodes.spread(part[:, nodes.columns] - part.logsumexp(-1, keepdim=True))
            for nodes, part in zip(self.new, logits.split(self.sizes), strict=True)
        ]


class TokenTree:
    """Keys and values of every node that was ever extended, for B users at once.

    Nodes are numbered by *slots* in the order in which they came; slot 0 is the root. A slot has the same depth for
    every user. What is kept of a node is a *row* of a store that all users share: a node finds its ancestors by the
    numbers of their rows, so users can leave without a copy of what the others have. Nothing is read back from the
    device, nor sent to it.

    Args:
        layers: number of layers that decode.
        longest: nodes on a path, at most.
        capacity: rows to allocate at once; the store grows by doubling.
    """

    def __init__(self, layers: int, longest: int, capacity: int) -> None:
        self.longest, self.capacity = longest, capacity
        self.slots = self.rows = 0
        self.paths = torch.empty(0, dtype=torch.long)  # [users, slots, longest]: rows from the root to the node, then 0
        self.store: list[Tensor | None] = [None] * layers  # [capacity, 2 * heads * d_kv]

    def grow(self, new: NewNodes) -> Tensor:
        """Reserve a slot for each new node, and a row where it is valid.

        Returns:
            The rows from the root to each valid node itself `[R, depth + 1]`.
        """
        (users, n), depth = new.parents.shape, new.depth
        count = users * n if new.rows is None else len(new.rows)
        own = torch.arange(self.rows, self.rows + count, device=new.parents.device)
        if new.rows is not None:
            own = new.parents.new_zeros(users * n).index_copy_(0, new.rows, own)
        paths = new.parents.new_zeros(users, n, self.longest)
        if depth:
            paths[:, :, :depth] = self.paths.gather(1, new.parents[:, :, None].expand(-1, -1, depth))
        paths[:, :, depth] = own.view(users, n)
        self.paths = torch.cat([self.paths, paths], 1) if self.slots else paths
        self.slots, self.rows = self.slots + n, self.rows + count
        return new.pack(paths)[:, : depth + 1]

    def add(self, layer: int, keys_values: Tensor) -> Tensor:
        """Write the keys and values `[R, 2 * heads * d_kv]` of the rows that `grow` reserved last; returns all."""
        while self.capacity < self.rows:
            self.capacity *= 2
        before, first = self.store[layer], self.rows - len(keys_values)
        store = before
        if store is None or len(store) < self.rows:
            store = self.store[layer] = keys_values.new_empty(self.capacity, keys_values.size(1))
            if before is not None:
                store[:first] = before[:first]
        store[first : self.rows] = keys_values
        return store

    def select(self, users: Tensor) -> TokenTree:
        """The trees of some users, `users` `[b]`, which take over the store: only one of the two may grow on."""
        tree = TokenTree(0, self.longest, self.capacity)
        tree.slots, tree.rows, tree.store, tree.paths = self.slots, self.rows, self.store, self.paths[users]
        return tree
