"""What a drafter may still draft for each user."""

from __future__ import annotations

import copy

import torch
from torch import Tensor


class DraftPool:
    """The candidates that were not drafted yet, with the drafter's scores.

    Args:
        items: `[B, M]`, or `[1, M]` where they are the same for all users.
        scores: the drafter's `[B, M]`, -inf for what it may not draft.

    Attributes:
        scores: of what was not drafted yet `[B, M]`; -inf for the rest.
        all_scores: what `scores` were at first `[B, M]`.
        is_nan: whether any of them is NaN; BoolTensor `[]`.
        numbers: `items` as they are looked up, -1 in places that are empty, where `items` has some candidate.
    """

    def __init__(self, items: Tensor, scores: Tensor, numbers: Tensor | None = None) -> None:
        self.items, self.scores, self.all_scores = items, scores, scores
        self.numbers = items if numbers is None else numbers
        self.is_nan = scores.isnan().any()
        self._lowest: Tensor | None = None  # found when it is first asked for: it takes a pass over all scores

    @classmethod
    def of_candidates(cls, candidates: Tensor, draft_scores: Tensor) -> DraftPool:
        """A pool of all candidates.

        Args:
            candidates: items `[M]`.
            draft_scores: the drafter's score of every item `[B, n_items]`.
        """
        return cls(candidates[None], draft_scores[:, candidates])

    @classmethod
    def of_nearest(cls, candidates: Tensor, items: Tensor, draft_scores: Tensor) -> DraftPool:
        """A pool of some candidates for each user.

        Args:
            candidates: all of them `[n]`.
            items: those in the pool `[B, M]`, -1 where there are fewer.
            draft_scores: the drafter's scores of these `[B, M]`.
        """
        exists = items >= 0
        valid = torch.where(exists, items, candidates[0])
        return cls(valid, draft_scores.masked_fill(~exists, -torch.inf), items)

    def without(self, items: Tensor) -> DraftPool:
        """The pool without some items, `items` `[n_items]` bool."""
        return DraftPool(self.items, self.scores.masked_fill(items[self.items], -torch.inf), self.numbers)

    def favouring(self, items: Tensor, bonus: float) -> DraftPool:
        """The pool with `bonus` added to the scores of some items, `items` `[n_items]` bool."""
        return DraftPool(self.items, self.scores + bonus * items[self.items].to(self.scores), self.numbers)

    def draft(self, size: int, may_be_drafted: Tensor | None) -> Tensor:
        """Take the best items out of the pool.

        Args:
            size: how many.
            may_be_drafted: which of `items` `[B, M]`; None: all.

        Returns:
            Items `[B, n]`, -1 in places that are empty; n is at most `size`. Of equal scores the smaller id comes
            first, so that a pool of some items drafts as one of all does.
        """
        scores = self.scores if may_be_drafted is None else self.scores.masked_fill(~may_be_drafted, -torch.inf)
        chosen = best_places(scores, self.items, size)
        best = scores.gather(1, chosen)
        # What may not be drafted now may not be drafted later either: longer prefixes lie below shorter ones. So it
        # does no harm that such items, too, are taken out where there are too few others.
        self.scores = self.scores.scatter(1, chosen, -torch.inf)
        drafts = self.items.expand(len(chosen), -1).gather(1, chosen)
        return drafts.masked_fill(~(best > -torch.inf), -1)

    def scores_of(self, items: Tensor) -> Tensor:
        """The drafter's scores of `items` `[B, n]`, drafted or not; the user's lowest for what it could not draft."""
        ordered, order = self.numbers.sort(1)
        shared = len(ordered) == 1  # the same for all users: one row is searched for all of them
        place = torch.searchsorted(ordered[0] if shared else ordered, items.contiguous())
        place = place.clamp(max=ordered.size(1) - 1)
        found, column = (x[0][place] if shared else x.gather(1, place) for x in (ordered, order))
        scores = self.all_scores.gather(1, column)
        could = (found == items) & (scores > -torch.inf)
        return torch.where(could, scores, self.lowest)

    @property
    def lowest(self) -> Tensor:
        """The lowest of the drafter's scores of what it could draft; 0 where that is nothing `[B, 1]`."""
        if self._lowest is None:
            could = self.all_scores > -torch.inf
            self._lowest = self.all_scores.masked_fill(~could, torch.inf).amin(1, keepdim=True).nan_to_num(posinf=0.0)
        return self._lowest

    def select(self, users: Tensor) -> DraftPool:
        """The pool of some of the users, `users` `[B]` bool."""
        chosen = copy.copy(self)
        if len(self.items) > 1:
            chosen.items, chosen.numbers = self.items[users], self.numbers[users]
        chosen.scores, chosen.all_scores, chosen._lowest = self.scores[users], self.all_scores[users], None
        return chosen


def best_places(scores: Tensor, items: Tensor, size: int) -> Tensor:
    """Where the best scores of each row are `[B, n]`, the highest first, of equal ones that of the smaller item; n is
    `size`, or M if that is less. On a GPU no value is read on the host.

    Args:
        scores: `[B, M]`, float32, or float64 that was rounded to that.
        items: that they are of, `[B, M]` or `[1, M]`.
    """
    size = min(size, scores.size(1))
    if scores.device.type != "cpu":
        return _keys(scores, items).topk(size, dim=1).indices
    # Keys of all would take a CPU five times as long. Only a tie over the end of the list makes a choice of it.
    values, places = scores.topk(min(size + 1, scores.size(1)), dim=1)
    if values.size(1) > size:
        last, next_ = values[:, size - 1], values[:, size]
        tied, places = ((last == next_) & next_.isfinite()).nonzero().squeeze(1), places[:, :size]
        if len(tied):
            places[tied] = _keys(scores[tied], items.expand(len(scores), -1)[tied]).topk(size, dim=1).indices
    chosen, rows = items.expand(len(scores), -1).gather(1, places), scores.gather(1, places)
    order = chosen.argsort(dim=1)
    order = order.gather(1, rows.gather(1, order).sort(dim=1, descending=True, stable=True).indices)
    return places.gather(1, order)


def _keys(scores: Tensor, items: Tensor) -> Tensor:
    """Whole numbers `[B, M]` in the order of the scores, float32, and of equal ones the larger for the smaller item."""
    bits = (scores.float() + 0.0).view(torch.int32).long()  # + 0.0 makes one zero of two
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # of negative numbers the larger bits are the lower number
    return (bits << 32) - items
