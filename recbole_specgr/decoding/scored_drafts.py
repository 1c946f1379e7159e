"""The drafts of each user with their scores, and the list that is made of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FILLED_IN = -1  # round of an item that was not drafted, but comes from the verifier's own list


@dataclass
class ScoredDrafts:
    """Items of each user in the order in which they came; a score of -inf marks a gap. All `[B, n]`.

    Attributes:
        items: what was drafted, or filled in.
        scores: the verifier's.
        rounds: in which they were drafted, from 0; `FILLED_IN` for others.
    """

    items: Tensor
    scores: Tensor
    rounds: Tensor

    @classmethod
    def empty(cls, users: int, like: Tensor) -> ScoredDrafts:
        """No drafts; scores will be of the type and on the device of `like`."""
        none = torch.zeros(users, 0, dtype=torch.long, device=like.device)
        return cls(none, like.new_zeros(users, 0), none)

    @property
    def exist(self) -> Tensor:
        return self.scores > -torch.inf

    @property
    def count(self) -> Tensor:
        """`[B]`."""
        return self.exist.sum(1)

    def append(self, items: Tensor, scores: Tensor, round_: int) -> ScoredDrafts:
        rounds = torch.full_like(items, round_)
        return ScoredDrafts(
            torch.cat([self.items, items], 1), torch.cat([self.scores, scores], 1), torch.cat([self.rounds, rounds], 1)
        )

    def where(self, stays: Tensor) -> ScoredDrafts:
        """Leave a gap where `stays` `[B, n]` is False."""
        return ScoredDrafts(self.items, self.scores.masked_fill(~stays, -torch.inf), self.rounds)

    def fill(self, items: Tensor, scores: Tensor, k: int) -> ScoredDrafts:
        """Append the first of `items` `[B, m]` that are not there yet, until there are k.

        Args:
            items, scores: the verifier's own list, as `Verification.best` gives it.
            k: list length.
        """
        listed = (items[:, :, None] == self.items[:, None, :]) & self.exist[:, None, :]
        new = (scores > -torch.inf) & ~listed.any(2)
        new &= new.cumsum(1) <= (k - self.count)[:, None]
        return self.append(items, scores.masked_fill(~new, -torch.inf), FILLED_IN)

    def ranked(self, key: Tensor | None, k: int, drafts_first: bool) -> ScoredDrafts:
        """The first k `[B, at most k]`, gaps last.

        Args:
            key: what they are ordered by, the largest first `[B, n]`; None: they stay in the order in which they came.
            k: list length.
            drafts_first: what was filled in comes behind all drafts, each part ordered by itself.
        """
        group = torch.where(self.exist, 0, 2)
        if drafts_first:
            group = torch.where(self.exist & (self.rounds == FILLED_IN), 1, group)
        if key is None:
            order = group.sort(dim=1, stable=True).indices
        else:
            order = key.masked_fill(~self.exist, -torch.inf).sort(dim=1, descending=True, stable=True).indices
            if drafts_first:
                order = order.gather(1, group.gather(1, order).sort(dim=1, stable=True).indices)
        order = order[:, :k]
        return ScoredDrafts(self.items.gather(1, order), self.scores.gather(1, order), self.rounds.gather(1, order))

    def select(self, users: Tensor) -> ScoredDrafts:
        """The drafts of some users, `users` `[B]` bool."""
        return ScoredDrafts(self.items[users], self.scores[users], self.rounds[users])
