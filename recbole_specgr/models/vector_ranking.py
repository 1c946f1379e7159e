"""What the models share that rank by inner products of users' and items' vectors."""

from __future__ import annotations

from logging import getLogger
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.nearest import NearestItems
from recbole_specgr.evaluation.ranking import EMPTY, rank_blocks
from recbole_specgr.models.contract import RankedList, ScoresItems, Users, lists_without

ALL = slice(None)


class RanksByVectors(ScoresItems):
    """Ranks all candidates a stretch of the catalogue at a time, or those that an index of faiss finds.

    Subclasses give `user_vectors` and `item_vectors`. One that has the setting of inference `unseen_bonus` gives
    `is_unseen`, too.

    Attributes:
        temperature: what inner products are divided by.
        ranking_index: faiss' description of the index that finds the best items; None: all are compared.
    """

    temperature: float = 1.0
    ranking_index: str | None = None
    # With the candidates, the bonus and some vectors that it is made of.
    _index: tuple[Tensor, float, Tensor, NearestItems] | None = None

    def user_vectors(self, interaction: Interaction) -> Tensor:
        """Vectors of a batch's users `[B, d]`."""
        raise NotImplementedError

    def item_vectors(self, items: slice = ALL) -> Tensor:
        """Vectors of a stretch of the items `[m, d]`."""
        raise NotImplementedError

    def is_unseen(self, items: slice) -> Tensor:
        """Which of a stretch of the items are not in the training data, BoolTensor `[m]`."""
        raise NotImplementedError

    @property
    def unseen_bonus(self) -> float:
        """What is added to an unseen item's score."""
        bonus: float = self.decoding.get("unseen_bonus", 0.0)
        return bonus

    def scores(self, users: Tensor, items: slice = ALL) -> Tensor:
        """Scores `[B, m]` of a stretch of the items for users' vectors `[B, d]`."""
        scores = users @ self.item_vectors(items).T / self.temperature
        return scores + self.unseen_bonus * self.is_unseen(items).to(scores) if self.unseen_bonus else scores

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`. Of a model that is trained by a softmax, one over the candidates makes
        them probabilities."""
        return self.scores(self.user_vectors(interaction))

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        vectors = users.once("vectors", lambda: self.user_vectors(users.interaction))
        return users.once(("list", k, self.unseen_bonus), lambda: self.nearest(vectors, k, candidates))

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """Exact lists are made of the other items' scores; an index is asked for longer ones."""
        vectors = users.once("vectors", lambda: self.user_vectors(users.interaction))
        if self.ranking_index is not None:
            return lists_without(lambda rows, length: self._found(vectors[rows], length, candidates), k, left_out)
        # Users are asked without the same items always.
        return users.once(("list without", k, self.unseen_bonus), lambda: self._exact(vectors, k, candidates, left_out))

    def nearest(self, users: Tensor, k: int, candidates: Tensor) -> RankedList:
        """The k candidates of the best scores for each user's vector `[B, d]`."""
        return self._exact(users, k, candidates) if self.ranking_index is None else self._found(users, k, candidates)

    def _exact(self, users: Tensor, k: int, candidates: Tensor, left_out: Tensor | None = None) -> RankedList:
        return RankedList(*rank_blocks(lambda items: self.scores(users, items), len(users), k, candidates, left_out))

    def _found(self, users: Tensor, k: int, candidates: Tensor) -> RankedList:
        items, scores = self._nearest_items(users, k, candidates).search(self._with_one(users), k)
        items, order = items.sort(dim=1)  # equal scores come in the order of their ids, as everywhere
        scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
        missing = (0, k - items.size(1))
        return RankedList(
            torch.nn.functional.pad(items.gather(1, order), missing, value=EMPTY),
            torch.nn.functional.pad(scores / self.temperature, missing, value=-torch.inf),
        )

    def _nearest_items(self, users: Tensor, k: int, candidates: Tensor) -> NearestItems:
        """The index of the candidates, which is made anew when they or the vectors have changed."""
        assert self.ranking_index is not None
        if self._index is not None and torch.equal(self._index[0], candidates):
            _, bonus, sample, index = self._index
            if bonus == self.unseen_bonus and torch.equal(sample, self.item_vectors(_sampled(index.items))):
                return index
        items = candidates.nonzero().squeeze(1)
        index = NearestItems(self._with_bonus(), items, self.ranking_index, "ranking_index")
        self._index = candidates, self.unseen_bonus, self.item_vectors(_sampled(items)).clone(), index
        self.approximation = self._measured(users, k, candidates, index)
        return index

    def _with_bonus(self) -> Tensor:
        """Vectors of all items, with the bonus in a column of its own, so that an inner product holds it."""
        vectors = self.item_vectors()
        if not self.unseen_bonus:
            return vectors
        bonus = self.unseen_bonus * self.temperature * self.is_unseen(ALL).to(vectors)
        return torch.cat([vectors, bonus[:, None]], dim=1)

    def _with_one(self, users: Tensor) -> Tensor:
        """The users' vectors `[B, d]` with what multiplies that column."""
        return torch.nn.functional.pad(users, (0, 1), value=1.0) if self.unseen_bonus else users

    def items_changed(self) -> None:
        """Forget the index: other items may now have the same ids. A model whose items may change calls this."""
        self._index = None

    def _measured(self, users: Tensor, k: int, candidates: Tensor, index: NearestItems) -> dict[str, Any]:
        """What share of the exact lists of these users the index finds; it goes into the log, too."""
        exact, found = self._exact(users, k, candidates).items, index.search(self._with_one(users), k)[0]
        listed = exact != EMPTY
        recall = float(((exact[:, :, None] == found[:, None, :]).any(2) & listed).sum() / listed.sum().clamp(min=1))
        getLogger().info(
            f"ranking_index {self.ranking_index}: it finds {recall:.1%} of the {k} items of the exact lists, measured "
            f"on {len(users):,} users and {int(candidates.sum()):,} items"
        )
        return {"index": self.ranking_index, "recall": round(recall, 5), "k": k, "users": len(users)}


def _sampled(items: Tensor) -> slice:
    """The stretch of items by which one sees that training has changed the vectors. It begins with the first of those
    that are ranked: before it may stand unseen items, whose vectors do not change."""
    first = int(items[0]) if len(items) else 0
    return slice(first, first + 64)
