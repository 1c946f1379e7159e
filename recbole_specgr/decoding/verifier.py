"""The generative model as verifier: prefixes are put through the decoder once a user, and then looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.backbones.t5 import T5
from recbole_specgr.backbones.token_tree import Memory, NewNodes, TokenTree
from recbole_specgr.decoding.beam_search import check_finite
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

TOGETHER = 1024  # drafts of all users up to which their digits are verified in one call,
ACCEPTED = 0.1  # where at least this share of those of the round before was accepted


@dataclass
class PlacedNodes:
    """The prefixes of one length that are in the users' trees.

    A *place* is a position in this list; it is the same prefix's for one user, and of one tree slot for all users.

    Attributes:
        nodes: numbers in the prefix index `[b, places]`, -1 where a user has no prefix in this place.
        slots: slots in the token tree `[places]`.
        log_probs: of the next digit's tokens `[b, places, level size]`; those of the last places may still be missing.
    """

    nodes: Tensor
    slots: Tensor
    log_probs: Tensor

    def append(self, nodes: Tensor, slots: Tensor) -> PlacedNodes:
        return PlacedNodes(torch.cat([self.nodes, nodes], 1), torch.cat([self.slots, slots]), self.log_probs)

    def scored(self, log_probs: Tensor) -> PlacedNodes:
        return PlacedNodes(self.nodes, self.slots, torch.cat([self.log_probs, log_probs], 1))

    def select(self, users: Tensor) -> PlacedNodes:
        return PlacedNodes(self.nodes[users], self.slots, self.log_probs[users])


class Verifier:
    """The generative model's view of prefixes: each is put into the token tree once a user and then looked up.

    What is placed waits until something of it is looked up. For few users all digits of the drafts go through the
    decoder together: a call costs more than its arithmetic. For many they go digit by digit, and so they do after a
    round that accepted few, since drafts that are rejected at one digit need not be computed at the next.

    Args:
        backbone, memory, index, level_slices: as in `draft_verify`.
        width: prefixes of one length that a round may add, an estimate.
        static: give everything a shape that is known beforehand, so that the host never waits for a value, instead of
            leaving out what need not be computed.

    Attributes:
        is_nan: any of the model's probabilities is NaN; an error at once unless `static`.

    Raises:
        ValueError: where the model's probabilities are NaN.
    """

    def __init__(
        self,
        backbone: T5,
        memory: Memory,
        index: PrefixIndex,
        level_slices: Sequence[slice],
        width: int,
        static: bool = False,
    ) -> None:
        self.backbone, self.memory, self.index, self.level_slices = backbone, memory, index, level_slices
        self.static, self.accepts = static, True
        self.is_nan = torch.zeros((), dtype=torch.bool, device=memory.bias.device)
        users, device = memory.bias.size(0), memory.bias.device
        rows = users * sum(min(width, level.nodes) for level in index.levels[:-1])
        self.tree = TokenTree(len(memory.layers), index.n_digits, rows)
        self.placed = [
            PlacedNodes(
                nodes=torch.zeros(users, 0, dtype=torch.long, device=device),
                slots=torch.zeros(0, dtype=torch.long, device=device),
                log_probs=memory.bias.new_zeros(users, 0, columns.stop - columns.start),
            )
            for columns in level_slices
        ]
        self.waiting: list[NewNodes] = []
        root = torch.zeros(users, 1, dtype=torch.long, device=device)
        self._add(0, root, root, None)

    def _add(self, depth: int, nodes: Tensor, parent_slots: Tensor, valid: Tensor | None) -> None:
        first = self.tree.slots + sum(new.tokens.size(1) for new in self.waiting)
        slots = torch.arange(first, first + nodes.size(1), device=nodes.device)
        self.placed[depth] = self.placed[depth].append(nodes, slots)
        tokens = self.index.levels[depth].token[nodes.clamp(min=0)]
        self.waiting.append(NewNodes(tokens, parent_slots, depth, self.level_slices[depth], valid))

    def _compute(self) -> None:
        """Put what waits through the decoder."""
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        for new, log_probs in zip(waiting, self.backbone.extend(self.memory, self.tree, waiting), strict=True):
            if new.depth == 0:
                self.is_nan = log_probs.isnan().any()
                if not self.static:
                    check_finite(self.is_nan)
            self.placed[new.depth] = self.placed[new.depth].scored(log_probs)

    def place(self, depth: int, nodes: Tensor, parents: Tensor, valid: Tensor) -> Tensor:
        """The places of prefixes, which are put into the trees where they are missing.

        Args:
            depth: length of the prefixes, at least 1.
            nodes: their numbers in the index `[b, m]`, in each row distinct or with equal ones side by side.
            parents: places of the prefixes that are one token shorter `[b, m]`.
            valid: which of them to place `[b, m]`; the place of an invalid one has no meaning.
        """
        placed = self.placed[depth]
        match = nodes[:, :, None] == placed.nodes[:, None, :]
        places = match.to(torch.uint8).argmax(2) if match.size(2) else torch.zeros_like(nodes)
        missing = valid & ~match.any(2)
        # number the missing prefixes of a user 0, 1, 2, ...; equal ones share a number
        before = missing.cumsum(1) - missing.long()
        starts_run = torch.ones_like(missing)
        starts_run[:, 1:] = nodes[:, 1:] != nodes[:, :-1]
        run_start = torch.where(starts_run, torch.arange(nodes.size(1), device=nodes.device), 0).cummax(1).values
        first = missing & (before == before.gather(1, run_start))
        number = first.cumsum(1) - 1
        new = min(nodes.size(1), self.index.levels[depth].nodes) if self.static else int(number[:, -1].max()) + 1
        if new:
            column = torch.where(first, number, new)  # the last column takes what is not new, and goes
            new_nodes = nodes.new_full((len(nodes), new + 1), -1).scatter_(1, column, nodes)[:, :new]
            new_parents = nodes.new_zeros(len(nodes), new + 1).scatter_(1, column, parents)[:, :new]
            filled = torch.arange(new, device=nodes.device) <= number[:, -1:]
            new_nodes = new_nodes.masked_fill(~filled, -1)
            parent_slots = self.placed[depth - 1].slots[new_parents.masked_fill(~filled, 0)]
            self._add(depth, new_nodes, parent_slots, None if self.static or bool(filled.all()) else filled)
            places = torch.where(missing, placed.nodes.size(1) + number, places)
        return places

    def log_probs(self, depth: int, places: Tensor) -> Tensor:
        """What may follow the prefixes at `places` `[b, m]`: `[b, m, level size]`."""
        self._compute()
        log_probs = self.placed[depth].log_probs
        return log_probs.gather(1, places[:, :, None].expand(-1, -1, log_probs.size(2)))

    def verify(self, items: Tensor, is_draft: Tensor, length: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """Eq. 2: mean log-probability of the first `length` tokens of each draft, and whether it is accepted.

        A draft leaves as soon as its partial sum over `length` is at or below the threshold; its score is then that
        upper bound.

        Args:
            items: drafts `[b, m]`.
            is_draft: False at padding `[b, m]`.
            length: tokens that count `[b, m]`.
            threshold: gamma.

        Returns:
            Scores `[b, m]` and acceptance `[b, m]`.
        """
        order = self.index.levels[-1].of_item[items].argsort(1)  # equal prefixes side by side
        items, alive, length = items.gather(1, order), is_draft.gather(1, order), length.gather(1, order)
        together = self.static or (self.accepts and items.numel() <= TOGETHER)
        places = [torch.zeros_like(items)]
        if together:
            for depth in range(1, len(self.level_slices)):
                places.append(self._place(depth, items, places, alive & (depth < length)))
        total = torch.zeros_like(items, dtype=self.placed[0].log_probs.dtype)
        for depth, columns in enumerate(self.level_slices):
            counts = alive & (depth < length)
            if not (self.static or bool(counts.any())):
                break
            if depth and not together:
                places.append(self._place(depth, items, places, counts))
            if any(new.depth == depth for new in self.waiting):
                self._compute()
            token = self.index.levels[depth + 1].token[self.index.levels[depth + 1].of_item[items]] - columns.start
            log_probs = self.placed[depth].log_probs.flatten(1)
            step_log_prob = log_probs.gather(1, places[depth] * (columns.stop - columns.start) + token)
            total = torch.where(counts, total + step_log_prob, total)
            alive &= total / length > threshold
        if not self.static:
            self.accepts = bool(alive.sum() >= ACCEPTED * is_draft.sum())
        back = order.argsort(1)
        return (total / length).gather(1, back), alive.gather(1, back)

    def _place(self, depth: int, items: Tensor, places: Sequence[Tensor], valid: Tensor) -> Tensor:
        """Places of the first `depth` digits of `items` `[b, m]`, given those of shorter prefixes."""
        return self.place(depth, self.index.levels[depth].of_item[items], places[depth - 1], valid)

    def select(self, users: Tensor) -> Verifier:
        """The same prefixes for some of the users, `users` `[b]` bool."""
        chosen = object.__new__(Verifier)
        chosen.backbone, chosen.index, chosen.level_slices = self.backbone, self.index, self.level_slices
        chosen.static, chosen.accepts, chosen.is_nan = self.static, self.accepts, self.is_nan
        chosen.waiting = [new.select(users) for new in self.waiting]
        chosen.memory, chosen.tree = self.memory.select(users), self.tree.select(users)
        chosen.placed = [placed.select(users) for placed in self.placed]
        return chosen
