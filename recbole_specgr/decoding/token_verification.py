"""Verification by a generator that predicts the digits of an id one after the other."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from recbole_specgr.decoding.beam_search import Beams, step
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.token_likelihood import log_likelihood
from recbole_specgr.decoding.verification import VerificationSettings

TOGETHER = 1024  # drafts of all users up to which their digits are verified in one call,
ACCEPTED = 0.1  # where at least this share of those of the round before was accepted


class TokenVerification:
    """A `Verification` that looks prefixes up in a store, and whose beams guide the drafter.

    Round j is guided by beams of j digits. For few users all digits of the drafts go through the decoder together: a
    call costs more than its arithmetic. For many they go digit by digit, and so they do after a round that accepted
    few, since drafts that are rejected at one digit need not be computed at the next.

    Args:
        prefixes: of B users; it may hold prefixes from other verifications of the same users.
        seen: items of the training data `[n_items]`.
        settings: what the scores depend on.
    """

    def __init__(self, prefixes: PrefixStore, seen: Tensor, settings: VerificationSettings) -> None:
        self.prefixes, self.seen, self.settings = prefixes, seen, settings
        self.rounds = prefixes.index.n_digits
        self.lengths = torch.full_like(seen, self.rounds, dtype=torch.long)
        if settings.score_adjustment:
            self.lengths -= (~seen).long()
        like = prefixes.memory.bias
        self.dtype = like.dtype
        self.bonus = settings.unseen_bonus * (~seen).to(like)
        self.depth = 0  # digits of a beam
        self.beams = self.shorter_beams = Beams.root(like.size(0), like)
        self.places = self.beams.nodes
        self.accepted_enough = True
        self.used_up: list[Tensor] | None = None  # for each depth, prefixes of nothing but what is left out [B, S]

    @property
    def is_nan(self) -> Tensor:
        return self.prefixes.is_nan

    def may_be_drafted(self, items: Tensor) -> Tensor | None:
        if self.depth == 0:
            return None
        level, beams = self.prefixes.index.levels[self.depth], self.beams
        # A beam that does not exist has the number of one that may: it is marked in a column of its own.
        marked = torch.where(beams.exist, beams.nodes, level.nodes)
        is_beam = torch.zeros(len(marked), level.nodes + 1, dtype=torch.bool, device=items.device)
        is_beam.scatter_(1, marked, True)
        nodes = level.of_item[items]
        return is_beam[:, nodes[0]] if len(nodes) == 1 else is_beam.gather(1, nodes)

    def log_likelihood(self, items: Tensor, accept_threshold: float) -> Tensor:
        static = self.prefixes.static
        together = static or (self.accepted_enough and items.numel() <= TOGETHER)
        scores = log_likelihood(self.prefixes, items, self.lengths, self.bonus, accept_threshold, together)
        if not static:
            self.accepted_enough = bool((scores > accept_threshold).sum() >= ACCEPTED * (items >= 0).sum())
        return scores

    def step(self) -> None:
        """Let the beams grow by a digit. Whole ids are at least k, for they fill up lists of k."""
        index, first_token = self.prefixes.index, self.prefixes.digit_columns[self.depth].start
        log_probs = self.prefixes.log_probs(self.depth, self.places)
        is_last = self.depth == self.rounds - 1
        width = max(self.settings.num_beams, self.settings.k) if is_last else self.settings.num_beams
        without = None if self.used_up is None else self.used_up[self.depth + 1]
        longer = step(self.beams, log_probs, index, self.depth, first_token, width, without)
        self.depth, self.shorter_beams, self.beams = self.depth + 1, self.beams, longer
        if not is_last:
            parents = self.places.gather(1, longer.parents)
            self.places = self.prefixes.place(self.depth, longer.nodes, parents, longer.exist)

    def best(self) -> tuple[Tensor, Tensor]:
        """The beams' items. The score of an item whose last digit does not count is that of its shorter beam."""
        beams = self.beams
        items = torch.where(beams.exist, self.prefixes.index.leaf_items(beams.nodes), 0)
        length = self.lengths[items]
        total = torch.where(length == self.rounds, beams.scores, self.shorter_beams.scores.gather(1, beams.parents))
        return items, (total / length + self.bonus[items]).masked_fill(~beams.exist, -torch.inf)

    def select(self, users: Tensor) -> TokenVerification:
        chosen = copy.copy(self)
        chosen.prefixes, chosen.places = self.prefixes.select(users), self.places[users]
        chosen.beams, chosen.shorter_beams = self.beams.select(users), self.shorter_beams.select(users)
        chosen.used_up = None if self.used_up is None else [nodes[users] for nodes in self.used_up]
        return chosen

    def restart(self, settings: VerificationSettings) -> TokenVerification:
        return TokenVerification(self.prefixes, self.seen, settings)

    def without(self, left_out: Tensor) -> TokenVerification:
        chosen = copy.copy(self)
        chosen.used_up = self.prefixes.index.used_up(left_out)
        return chosen
