from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_specgr.evaluation.ranking import EMPTY, comparable
from recbole_specgr.models.composite_recommender import CompositeRecommender
from recbole_specgr.models.contract import ModelContract, Part, RankedList, RanksByList, Users
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.system.errors import UserError


@dataclass(frozen=True)
class Request:
    """The arguments of `rank_users`, and of `rank_without` where there is something to leave out."""

    users: Users
    k: int
    candidates: Tensor
    left_out: Tensor | None = None


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
        used = ("weight", "list_length") if config["method"] == "score" else ("list_length",)
        self.decoding = {key: config[key] for key in used}
        self.register_buffer("seen", dataset.seen.clone(), persistent=False)
        self.unseen_history = config["unseen_history"]
        self.list_length = max(config["topk"])
        self.inductive = any(part.inductive for part in self.parts.values())

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"seen": torch.zeros(len(new), dtype=torch.bool)}

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        return self._ranked(Request(users, k, candidates))

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """Both models' lists do without them, so that each method joins lists of the usual lengths."""
        return self._ranked(Request(users, k, candidates, left_out))

    def _ranked(self, asked: Request) -> RankedList:
        return RankedList.unscored(best(*self.method(self, asked), asked.k))

    def by_score(self, asked: Request) -> tuple[Tensor, Tensor]:
        """Items `[B, n]` and their scores `[B, n]`."""

        def of_both() -> tuple[Tensor, ...]:
            items = union(*self.lists(asked))
            return items, *(scaled(self.scores(part, items, asked)) for part in self.parts)

        key = (asked.k, self.decoding["list_length"], asked.left_out is None)
        items, first, second = asked.users.once(key, of_both)
        return items, self.decoding["weight"] * first + (1 - self.decoding["weight"]) * second

    def by_rank(self, asked: Request) -> tuple[Tensor, Tensor]:
        first, second = self.lists(asked)
        items = union(first, second)
        return items, -(places(items, first) + places(items, second)) / 2

    def in_two_stages(self, asked: Request) -> tuple[Tensor, Tensor]:
        items = self.list_of("first", asked.k, asked)
        return items, self.scores("second", items, asked)

    def ranker(self, part: str) -> Ranker:
        return Ranker(self.part(part), self.seen, self.unseen_history)

    def list_of(self, part: str, n: int, asked: Request) -> Tensor:
        """A model's list `[B, n]`."""
        return self.ranker(part).rank(asked.users.interaction, n, asked.candidates, asked.left_out).items

    def lists(self, asked: Request) -> list[Tensor]:
        """Both models' lists `[B, n]`, as long as `list_length` says but no shorter than k."""
        return [self.list_of(part, max(asked.k, self.decoding["list_length"]), asked) for part in self.parts]

    def scores(self, part: str, items: Tensor, asked: Request) -> Tensor:
        """A model's scores of items `[B, n]`; -inf for what it can't score and for empty places."""
        scores = self.ranker(part).score_items(asked.users.interaction, items, asked.candidates)
        if scores is None:
            n = max(items.size(1), self.decoding["list_length"])
            scores = -places(items, self.list_of(part, n, asked))
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
