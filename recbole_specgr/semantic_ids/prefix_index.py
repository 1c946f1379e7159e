"""The trie of a set of items' semantic ids, as flat tensors: built by sort and diff, read by gathers alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Level:
    """The prefixes of one length, numbered in lexicographic order.

    Attributes:
        token: last token of each prefix `[nodes]`.
        parent: number of the prefix that is one token shorter `[nodes]`.
        children: the prefixes one token longer of node i are numbers `children[i]` to `children[i + 1] - 1`
            `[nodes + 1]`; below the deepest level these are positions in `PrefixIndex.items`.
        max_children: the widest branching.
        of_item: number of each item's prefix `[n_items]`, -1 for an item that is not indexed.
    """

    token: Tensor
    parent: Tensor
    children: Tensor
    max_children: int
    of_item: Tensor

    @property
    def nodes(self) -> int:
        return len(self.token)


class PrefixIndex:
    """Which tokens may follow a prefix, and which items it leads to.

    Depth 0 is the empty prefix, depth L whole ids. Items with equal ids share a leaf.

    Args:
        tokens: semantic ids as vocabulary tokens `[n_items, L]`.
        subset: items to index `[n_items]`, True where indexed; the padding item 0 never is.

    Raises:
        ValueError: for an empty subset.
    """

    def __init__(self, tokens: Tensor, subset: Tensor | None = None) -> None:
        n_items, self.n_digits = tokens.shape
        indexed = torch.ones(n_items, dtype=torch.bool, device=tokens.device) if subset is None else subset.clone()
        indexed[0] = False
        items = indexed.nonzero().squeeze(1)
        if not len(items):
            raise ValueError("the set of candidate items is empty: there is nothing to recommend from")
        # one stable sort a digit, the last first, sorts the ids lexicographically
        for digit in reversed(range(self.n_digits)):
            items = items[tokens[items, digit].argsort(stable=True)]
        self.items, ids = items, tokens[items]
        changed = torch.zeros(len(items), dtype=torch.bool, device=tokens.device)
        number = torch.zeros(len(items), dtype=torch.long, device=tokens.device)
        starts, self.levels = torch.zeros(1, dtype=torch.long, device=tokens.device), []
        numbers, all_starts = [number], [starts]
        for digit in range(self.n_digits):
            changed = changed.clone()
            changed[0] = True
            changed[1:] |= ids[1:, digit] != ids[:-1, digit]
            numbers.append(changed.cumsum(0) - 1)
            all_starts.append(changed.nonzero().squeeze(1))
        for depth in range(self.n_digits + 1):
            starts = all_starts[depth]
            below = numbers[depth + 1][starts] if depth < self.n_digits else starts
            total = len(all_starts[depth + 1]) if depth < self.n_digits else len(items)
            children = torch.cat([below, below.new_tensor([total])])
            of_item = torch.full((n_items,), -1, dtype=torch.long, device=tokens.device)
            of_item[items] = numbers[depth]
            self.levels.append(
                Level(
                    token=ids[starts, depth - 1] if depth else starts.new_zeros(1),
                    parent=numbers[depth - 1][starts] if depth else starts.new_zeros(1),
                    children=children,
                    max_children=int(children.diff().max()),
                    of_item=of_item,
                )
            )

    @property
    def size(self) -> int:
        """Number of indexed items."""
        return len(self.items)

    def children(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Child numbers (at `depth + 1`) of `nodes` `[...]` and which of them exist, both `[..., max_children]`."""
        level = self.levels[depth]
        rank = torch.arange(level.max_children, device=nodes.device)
        child = level.children[nodes][..., None] + rank
        exists = child < level.children[nodes + 1][..., None]
        return torch.where(exists, child, 0), exists

    def leaf_items(self, leaves: Tensor) -> Tensor:
        """The first item of each leaf `[...]`; of items with equal ids, the one with the lowest number."""
        return self.items[self.levels[-1].children[leaves]]

    @cached_property
    def leaves_below(self) -> list[Tensor]:
        """For each depth, how many leaves there are below each prefix `[nodes]`."""
        counts = [torch.ones_like(self.levels[-1].token)]
        for level in reversed(self.levels[:-1]):
            before = torch.nn.functional.pad(counts[0].cumsum(0), (1, 0))
            counts.insert(0, before[level.children[1:]] - before[level.children[:-1]])
        return counts

    def used_up(self, items: Tensor) -> list[Tensor]:
        """For each depth, the prefixes that lead to nothing but to `items` `[B, S]`: numbers `[B, S]`, -1 in places
        that are empty. What is 0 or not indexed among the items counts for nothing. Of items with equal ids the first
        alone can be listed, and so that one alone counts."""
        leaves = self.levels[-1].of_item[items]
        leaves = leaves.masked_fill(self.leaf_items(leaves.clamp(min=0)) != items, -1).sort(1).values
        again = torch.zeros_like(leaves, dtype=torch.bool)
        again[:, 1:] = leaves[:, 1:] == leaves[:, :-1]
        gone, found = leaves.masked_fill(again, -1), []
        first = self.leaf_items(leaves.clamp(min=0))
        for level, below in zip(self.levels, self.leaves_below, strict=True):
            nodes = level.of_item[first].masked_fill(gone < 0, -1).sort(1).values
            count = torch.searchsorted(nodes, nodes, right=True) - torch.searchsorted(nodes, nodes)
            found.append(nodes.masked_fill(count != below[nodes], -1))
        return found
