from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.evaluation.ranking import EMPTY, comparable
from recbole_specgr.models.composite_recommender import CompositeRecommender
from recbole_specgr.models.contract import ModelContract, Part, RankedList, RanksByList, Users
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.system.errors import UserError


class Ensemble(ItemTables, RanksByList, CompositeRecommender):
    """Two models' lists made one (the SpecGR paper's Table A5; Ding et al., AAAI 2026).

    `score` adds the models' scores of whatever stands in one of their lists, each scaled to 0 to 1 over these items.
    `rank` takes the mean of the places in both lists; an item that a list does not have stands behind its end.
    `two_stage` takes the first model's list and sorts it by the second's scores.

    A generative model scores an item by the likelihood of its id (`score_items`), whether it would generate it or not;
    a model that gives lists and nothing else by the place in its list.
    """

    parts_in_order = ("first", "second")
    item_tables = ("seen",)

    @classmethod
    def check_parts(cls, config: Config, part_classes: Mapping[str, type[ModelContract]]) -> None:
        if config["method"] not in METHODS:
            raise UserError(f"[method] must be one of {', '.join(METHODS)}, but is [{config['method']}].")

    def __init__(self, config: Config, dataset: Dataset, parts: Mapping[str, Part]) -> None:
        super().__init__(config, dataset, parts)
        self.method = METHODS[config["method"]]
        self.decoding = {"weight": config["weight"], "list_length": config["list_length"]}
        self.register_buffer("seen", dataset.seen.clone(), persistent=False)
        self.unseen_history = config["unseen_history"]
        self.list_length = max(config["topk"])
        self.inductive = any(part.inductive for part in self.parts.values())

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"seen": torch.zeros(len(new), dtype=torch.bool)}

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        return RankedList.unscored(best(*self.method(self, users, k, candidates), k))

    def by_score(self, users: Users, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Items `[B, n]` and their scores `[B, n]`."""

        def of_both() -> tuple[Tensor, ...]:
            items = union(*self.lists(users.interaction, k, candidates))
            scores = (self.scores(part, users.interaction, items, candidates) for part in self.parts)
            return items, *map(scaled, scores)

        items, first, second = users.once((k, self.decoding["list_length"]), of_both)
        return items, self.decoding["weight"] * first + (1 - self.decoding["weight"]) * second

    def by_rank(self, users: Users, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.lists(users.interaction, k, candidates)
        items = union(first, second)
        return items, -(places(items, first) + places(items, second)) / 2

    def in_two_stages(self, users: Users, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        items = self.ranker("first").rank(users.interaction, k, candidates).items
        return items, self.scores("second", users.interaction, items, candidates)

    def ranker(self, part: str) -> Ranker:
        return Ranker(self.part(part), self.seen, self.unseen_history)

    def lists(self, interaction: Interaction, k: int, candidates: Tensor) -> list[Tensor]:
        """Both models' lists `[B, n]`, as long as `list_length` says but no shorter than k."""
        n = max(k, self.decoding["list_length"])
        return [self.ranker(part).rank(interaction, n, candidates).items for part in self.parts]

    def scores(self, part: str, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        """A model's scores of items `[B, n]`; -inf for what it can't score and for empty places."""
        ranker = self.ranker(part)
        scores = ranker.score_items(interaction, items, candidates)
        if scores is None:
            n = max(items.size(1), self.decoding["list_length"])
            scores = -places(items, ranker.rank(interaction, n, candidates).items)
        return scores.masked_fill(items == EMPTY, -torch.inf)


METHODS = {"score": Ensemble.by_score, "rank": Ensemble.by_rank, "two_stage": Ensemble.in_two_stages}


def union(first: Tensor, second: Tensor) -> Tensor:
    """The items of either list `[B, n + m]` in the order of their ids; -1 in the places that are left."""
    items = torch.cat([first, second], dim=1).sort(dim=1).values
    again = F.pad(items[:, 1:] == items[:, :-1], (1, 0))
    return items.masked_fill(again, EMPTY)


def places(items: Tensor, ranked: Tensor) -> Tensor:
    """Where each of the items `[B, n]` stands in the list `[B, m]`, from 1; m + 1 for an item that it does not have."""
    match = items[:, :, None] == ranked[:, None, :]
    return torch.where(match.any(2), match.to(torch.uint8).argmax(2), ranked.size(1)).float() + 1


def scaled(scores: Tensor) -> Tensor:
    """Each row `[B, n]` from 0, its least finite score, to 1, its greatest; -inf becomes 0."""
    finite = scores.isfinite()
    low = scores.masked_fill(~finite, torch.inf).amin(1, keepdim=True)
    high = scores.masked_fill(~finite, -torch.inf).amax(1, keepdim=True)
    return ((scores - low) / (high - low).clamp(min=1e-12)).masked_fill(~finite, 0)


def best(items: Tensor, scores: Tensor, k: int) -> Tensor:
    """The k items `[B, k]` with the highest scores; equals keep their order, empty places go last."""
    scores = comparable(scores).masked_fill(items == EMPTY, -torch.inf)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return F.pad(items.gather(1, order), (0, k - order.size(1)), value=EMPTY)
