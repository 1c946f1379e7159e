"""How any model ranks. Training, tuning, serving, ensembles, explanations, studies and drafters all ask a `Ranker`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.data.earlier_items import earlier_field
from recbole_specgr.data.unseen_history import without_unseen
from recbole_specgr.decoding.mmr import maximal_marginal_relevance
from recbole_specgr.evaluation.ranking import EMPTY, check_ranked, comparable
from recbole_specgr.models.contract import ModelContract, RankedList, Users, of_all_items

PIECE = 512  # candidates that a model without scores of all items scores together


def rankable(model: ModelContract, candidates: Tensor, seen: Tensor) -> Tensor:
    """What of the candidates the model may rank, a new BoolTensor [n_items]: never the padding item, and only seen
    items where the model is not inductive."""
    allowed = candidates.clone() if model.inductive else candidates & seen
    allowed[0] = False
    return allowed


def way_without(model_class: type[ModelContract]) -> Callable[..., RankedList]:
    """How a model makes lists that leave items out: its `rank_without`, or the contract's where the class has changed
    `rank_users` and not that."""
    changing = (one for one in model_class.__mro__ if {"rank_users", "rank_without"} & vars(one).keys())
    return (model_class if "rank_without" in vars(next(changing)) else ModelContract).rank_without


class Ranker:
    """A model that is asked for lists and scores under the rules of the protocol.

    A model that is not inductive ranks and scores seen items only. `unseen_history: drop` takes unseen items out of the
    histories that it reads. `repeatable: False`, RecBole's setting, leaves out of a user's list all that the user has
    had, also what the history that a model reads is too short to hold. `mmr_weight`, a setting of inference of models
    that compare items, makes lists whose items are not all alike: they are chosen from the first `mmr_pool` items of a
    longer list.

    Args:
        model: ranks, in evaluation mode.
        seen: items of the training data, BoolTensor [n_items] on the model's device.
        unseen_history: `keep` or `drop`.
        repeatable: what a user has had may be recommended again.
    """

    def __init__(self, model: ModelContract, seen: Tensor, unseen_history: str, repeatable: bool = True) -> None:
        self.model, self.seen = model, seen
        self.drops_unseen = unseen_history == "drop" and not model.inductive
        self.repeatable = repeatable
        self._last: tuple[Tensor, Tensor] | None = None  # candidates, and what of them may be ranked

    def rankable(self, candidates: Tensor) -> Tensor:
        """What of the candidates the model may rank. The answer to the same tensor is kept: don't change it."""
        if self._last is None or self._last[0] is not candidates:
            self._last = candidates, rankable(self.model, candidates, self.seen)
        return self._last[1]

    def left_out(self, interaction: Interaction) -> Tensor | None:
        """What the protocol leaves out of each user's list `[B, S]`, 0 in places that are empty; None: nothing."""
        return None if self.repeatable else interaction[earlier_field(self.model.ITEM_SEQ)]

    @torch.no_grad()
    def rank(self, interaction: Interaction, k: int, candidates: Tensor, left_out: Tensor | None = None) -> RankedList:
        """The k best candidates of every user.

        Args:
            interaction: B users, on the model's device.
            candidates: BoolTensor [n_items].
            left_out: items `[B, S]` that the user's list does without, 0 in places that are empty.

        Raises:
            ValueError: the model's list or one of its scores is faulty.
        """
        return self._ranked(self.model.encode_users(self.as_read(interaction)), interaction, k, candidates, left_out)

    @torch.no_grad()
    def rank_at(
        self, points: Iterable[Mapping[str, Any]], interaction: Interaction, k: int, candidates: Tensor
    ) -> Iterator[RankedList]:
        """`rank` under several settings of `decoding`, a list for each; the users are encoded once.

        The model is left with the settings of the last point.
        """
        users = self.model.encode_users(self.as_read(interaction))
        users.shared = {}
        for point in points:
            self.model.change_decoding(point)
            yield self._ranked(users, interaction, k, candidates)

    def _ranked(
        self, users: Users, interaction: Interaction, k: int, candidates: Tensor, left_out: Tensor | None = None
    ) -> RankedList:
        allowed = self.rankable(candidates)
        earlier = self.left_out(interaction)
        if earlier is not None:
            left_out = earlier if left_out is None else torch.cat([earlier, left_out], dim=1)
        weight = self.model.decoding.get("mmr_weight", 0.0)
        pool = max(k, self.model.decoding["mmr_pool"]) if weight else k
        if left_out is None:
            ranked = self.model.rank_users(users, pool, allowed)
        else:
            ranked = way_without(type(self.model))(self.model, users, pool, allowed, left_out)
        check_ranked(ranked.items, len(interaction), pool, allowed)
        if not weight:
            return ranked
        places = maximal_marginal_relevance(self.model.alike(ranked.items), ranked.items != EMPTY, weight, k)
        return ranked.at(places)

    @torch.no_grad()
    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor | None:
        """The model's scores of given items, -inf for those it can't score; None from a model that has no scores.

        Args:
            items: `[B, n]`, -1 in places that are empty.
        """
        scores = self.model.score_items(self.as_read(interaction), items, self.rankable(candidates))
        if scores is None:
            return None
        if not self.model.inductive:
            scores = scores.masked_fill(~self.seen[items.clamp(min=0)], -torch.inf)
        return scores.masked_fill(items == EMPTY, -torch.inf)

    @torch.no_grad()
    def score_all(self, interaction: Interaction) -> Tensor | None:
        """The model's scores of all items `[B, n_items]`, -inf for those it can't score; None from a model that does
        not score all items. They are what a drafter drafts by."""
        scores = self.model.score_all(self.as_read(interaction))
        if scores is None:
            return None
        scores = of_all_items(self.model, scores, len(self.seen))
        if self.model.inductive:
            return scores
        return scores.masked_fill(~self.seen, -torch.inf)

    @torch.no_grad()
    def score_candidates(self, interaction: Interaction, candidates: Tensor) -> Tensor | None:
        """What the model thinks of every candidate, whether it would stand in a list or not `[B, n_items]`; -inf for
        other items. None from a model that has no scores."""
        allowed, scores = self.rankable(candidates), self.score_all(interaction)
        if scores is None:
            items = allowed.nonzero().squeeze(1)  # in the order of their ids, so that neighbours share prefixes
            found: list[Tensor] = []
            for piece in torch.split(items, PIECE):
                of_piece = self.score_items(interaction, piece.expand(len(interaction), -1).contiguous(), candidates)
                if of_piece is None:
                    return None
                found.append(of_piece)
            of_items = torch.cat(found, dim=1)
            scores = of_items.new_full((len(interaction), len(allowed)), -torch.inf)
            scores[:, items] = of_items
        return comparable(scores).masked_fill(~allowed, -torch.inf)

    def as_read(self, interaction: Interaction) -> Interaction:
        """The batch as the model reads it."""
        if not self.drops_unseen:
            return interaction
        model = self.model
        return without_unseen(interaction, model.ITEM_SEQ, model.ITEM_SEQ_LEN, self.seen, model.history_columns)
