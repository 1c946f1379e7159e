"""Prefixes of semantic ids that went through the decoder: each is computed once a user, and then looked up."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.backbones.contract import Backbone
from recbole_specgr.backbones.token_tree import Memory, NewNodes, TokenTree
from recbole_specgr.decoding.digit_scale import AS_TRAINED, DigitScale
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


@dataclass
class PlacedPrefixes:
    """The prefixes of one length that are in the users' trees.

    A *place* is a position in this list. One place may hold another prefix for every user, but its slot in the token
    tree is the same for all.

    Attributes:
        nodes: numbers in the prefix index `[b, places]`, -1 where a user has no prefix in this place.
        slots: slots in the token tree `[places]`.
        log_probs: of the next digit's tokens `[b, places, level size]`; those of the last places may still be missing.
    """

    nodes: Tensor
    slots: Tensor
    log_probs: Tensor

    @property
    def places(self) -> int:
        return self.nodes.size(1)

    def find(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The places of `nodes` `[b, m]`, 0 for those that are in none, and which of them are in one, `[b, m]`."""
        if not self.places:
            return torch.zeros_like(nodes), torch.zeros_like(nodes, dtype=torch.bool)
        match = nodes[:, :, None] == self.nodes[:, None, :]
        return match.to(torch.uint8).argmax(2), match.any(2)

    def append(self, nodes: Tensor, slots: Tensor) -> PlacedPrefixes:
        return PlacedPrefixes(torch.cat([self.nodes, nodes], 1), torch.cat([self.slots, slots]), self.log_probs)

    def computed(self, log_probs: Tensor) -> PlacedPrefixes:
        return PlacedPrefixes(self.nodes, self.slots, torch.cat([self.log_probs, log_probs], 1))

    def select(self, users: Tensor) -> PlacedPrefixes:
        return PlacedPrefixes(self.nodes[users], self.slots, self.log_probs[users])


class PrefixStore:
    """The token trees of a batch of users, by prefixes of the candidates' ids.

    `place` puts prefixes into the trees, where they wait: the decoder computes all that waits in one call as soon as
    `log_probs` or `log_probs_of` looks up something of it, for a call costs more than its arithmetic.

    Args:
        backbone: computes what follows a prefix.
        memory: of B users.
        index: the candidates' ids.
        digit_columns: each digit's part of the vocabulary.
        width: about how many prefixes of one length will be placed, for the memory that is allocated at once.
        static: give everything a shape that is known beforehand, so that the host never waits for a value, instead of
            leaving out what need not be computed.
        scale: of the log-probabilities that it gives.

    Attributes:
        is_nan: whether any of the probabilities that may follow the empty prefix is NaN; BoolTensor `[]`.
    """

    def __init__(
        self,
        backbone: Backbone,
        memory: Memory,
        index: PrefixIndex,
        digit_columns: Sequence[slice],
        width: int,
        static: bool = False,
        scale: DigitScale = AS_TRAINED,
    ) -> None:
        self.backbone, self.memory, self.index, self.digit_columns = backbone, memory, index, digit_columns
        self.static, self.scale = static, scale
        users, device = memory.bias.size(0), memory.bias.device
        rows = users * sum(min(width, level.nodes) for level in index.levels[:-1])
        self.tree = TokenTree(len(memory.layers), index.n_digits, rows)
        self.placed = [
            PlacedPrefixes(
                nodes=torch.zeros(users, 0, dtype=torch.long, device=device),
                slots=torch.zeros(0, dtype=torch.long, device=device),
                log_probs=memory.bias.new_zeros(users, 0, columns.stop - columns.start),
            )
            for columns in digit_columns
        ]
        self.waiting: list[NewNodes] = []
        self.is_nan = torch.zeros((), dtype=torch.bool, device=device)
        root = torch.zeros(users, 1, dtype=torch.long, device=device)
        self._add(0, root, root, None)

    # -- placing -------------------------------------------------------------------------------------------------------

    def place(self, depth: int, nodes: Tensor, parents: Tensor, valid: Tensor) -> Tensor:
        """The places of prefixes; those that have none yet are put into the trees.

        Args:
            depth: length of the prefixes, at least 1.
            nodes: their numbers in the index `[b, m]`, in each row distinct or with equal ones side by side.
            parents: places of the prefixes that are one token shorter `[b, m]`.
            valid: which of them to place `[b, m]`; the place of an invalid one has no meaning.

        Returns:
            `[b, m]`.
        """
        placed = self.placed[depth]
        # 1. Look them up among those that are placed already.
        places, found = placed.find(nodes)
        missing = valid & ~found
        # 2. Number each user's missing prefixes 0, 1, 2, ...
        number, first = numbered(nodes, missing)
        # 3. Give each number a new place.
        new = min(nodes.size(1), self.index.levels[depth].nodes) if self.static else int(number[:, -1].max()) + 1
        if not new and placed.places:
            return places
        new = max(new, 1)  # where no user has any prefix left, an empty place is there to be looked up
        column = torch.where(first, number, new)
        filled = torch.arange(new, device=nodes.device) <= number[:, -1:]
        new_nodes = in_columns(nodes, column, new).masked_fill(~filled, -1)
        new_parents = in_columns(parents, column, new).masked_fill(~filled, 0)
        all_filled = self.static or bool(filled.all())  # without a look, empty places are computed like others
        self._add(depth, new_nodes, self.placed[depth - 1].slots[new_parents], None if all_filled else filled)
        return torch.where(missing, placed.places + number, places)

    def _add(self, depth: int, nodes: Tensor, parent_slots: Tensor, valid: Tensor | None) -> None:
        """Give prefixes `[b, n]` the next places and slots, and let them wait for the decoder."""
        first = self.tree.slots + sum(new.tokens.size(1) for new in self.waiting)
        slots = torch.arange(first, first + nodes.size(1), device=nodes.device)
        self.placed[depth] = self.placed[depth].append(nodes, slots)
        tokens = self.index.levels[depth].token[nodes.clamp(min=0)]
        self.waiting.append(NewNodes(tokens, parent_slots, depth, self.digit_columns[depth], valid))

    # -- looking up ----------------------------------------------------------------------------------------------------

    def log_probs(self, depth: int, places: Tensor) -> Tensor:
        """What may follow the prefixes at `places` `[b, m]`: `[b, m, level size]`."""
        self._compute(depth)
        log_probs = self.placed[depth].log_probs
        return log_probs.gather(1, places[:, :, None].expand(-1, -1, log_probs.size(2)))

    def log_probs_of(self, depth: int, places: Tensor, tokens: Tensor) -> Tensor:
        """The log-probability that `tokens` `[b, m]` follow the prefixes at `places` `[b, m]`: `[b, m]`."""
        self._compute(depth)
        columns, log_probs = self.digit_columns[depth], self.placed[depth].log_probs.flatten(1)
        return log_probs.gather(1, places * (columns.stop - columns.start) + tokens - columns.start)

    def _compute(self, depth: int) -> None:
        """Put all that waits through the decoder, if prefixes of the length `depth` are among it."""
        if not any(new.depth == depth for new in self.waiting):
            return
        waiting, self.waiting = self.waiting, []
        for new, log_probs in zip(waiting, self.backbone.extend(self.memory, self.tree, waiting), strict=True):
            if new.depth == 0:
                self.is_nan = log_probs.isnan().any()
            placed, first_token = self.placed[new.depth], self.digit_columns[new.depth].start
            first = placed.log_probs.size(1)
            nodes = placed.nodes[:, first : first + log_probs.size(1)].clamp(min=0)
            scaled = self.scale(log_probs, nodes, self.index, new.depth, first_token)
            self.placed[new.depth] = placed.computed(scaled)

    def select(self, users: Tensor) -> PrefixStore:
        """The same prefixes for some of the users, `users` `[b]` bool. Only one of the two stores may grow on."""
        chosen = copy.copy(self)
        chosen.waiting = [new.select(users) for new in self.waiting]
        chosen.memory, chosen.tree = self.memory.select(users), self.tree.select(users)
        chosen.placed = [placed.select(users) for placed in self.placed]
        return chosen


def numbered(nodes: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    """Number the missing nodes of each row 0, 1, 2, ... from left to right; equal ones share a number.

    Args:
        nodes: `[b, m]`, equal ones side by side.
        missing: which to number `[b, m]`. Of equal nodes some may be missing and others not.

    Returns:
        The numbers `[b, m]` (in other places, that of the last missing node before, or -1), and which nodes are the
        first of their number `[b, m]`.
    """
    before = missing.cumsum(1) - missing.long()  # missing nodes further left
    starts_run = torch.ones_like(missing)
    starts_run[:, 1:] = nodes[:, 1:] != nodes[:, :-1]
    run_start = torch.where(starts_run, torch.arange(nodes.size(1), device=nodes.device), 0).cummax(1).values
    first = missing & (before == before.gather(1, run_start))  # none of its equals further left is missing
    return first.cumsum(1) - 1, first


def in_columns(values: Tensor, column: Tensor, width: int) -> Tensor:
    """Values `[b, m]` at the columns `[b, m]` of a table `[b, width]`; what goes to column `width` is left out."""
    return values.new_zeros(len(values), width + 1).scatter_(1, column, values)[:, :width]
