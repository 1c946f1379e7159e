from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.evaluation.ranking import EMPTY, comparable, rank_scores
from recbole_specgr.models.composite_recommender import CompositeRecommender
from recbole_specgr.models.contract import ModelContract, Part, ScoresItems
from recbole_specgr.models.item_scores import item_scores
from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.shared_work import SharedWork
from recbole_specgr.system.errors import UserError

NOTHING = float("-inf")


@dataclass
class UsersOfTwo(SharedWork):
    """A batch that both models are to rank."""

    interaction: Interaction


class Ensemble(ItemTables, CompositeRecommender):
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
        self.drop_unseen = config["unseen_history"] == "drop"
        self.inductive = any(getattr(part, "inductive", False) for part in self.parts.values())

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"seen": torch.zeros(len(new), dtype=torch.bool)}

    def encode_users(self, interaction: Interaction) -> UsersOfTwo:
        return UsersOfTwo(interaction)

    @torch.no_grad()
    def full_sort_topk(self, interaction: Interaction, k: int, candidates: Tensor | None = None) -> Tensor:
        """The k best candidates `[B, k]`; -1 where there are fewer."""
        return self.rank(self.encode_users(interaction), k, candidates)

    @torch.no_grad()
    def rank(self, users: UsersOfTwo, k: int, candidates: Tensor | None = None) -> Tensor:
        """The k best candidates `[B, k]` under the settings in `decoding`; -1 where there are fewer."""
        if candidates is None:
            candidates = torch.arange(self.n_items, device=self.seen.device) > 0
        return best(*self.method(self, users, k, candidates), k)

    def by_score(self, users: UsersOfTwo, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Items `[B, n]` and their scores `[B, n]`."""

        def of_both() -> tuple[Tensor, ...]:
            items = union(*self.lists(users.interaction, k, candidates))
            scores = (self.scores(part, users.interaction, items, candidates) for part in self.parts.values())
            return items, *map(scaled, scores)

        items, first, second = users.once((k, self.decoding["list_length"]), of_both)
        return items, self.decoding["weight"] * first + (1 - self.decoding["weight"]) * second

    def by_rank(self, users: UsersOfTwo, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        lists = self.lists(users.interaction, k, candidates)
        items = union(*lists)
        return items, -sum(places(items, ranked) for ranked in lists) / 2

    def in_two_stages(self, users: UsersOfTwo, k: int, candidates: Tensor) -> tuple[Tensor, Tensor]:
        items = self.list_of(self.parts["first"], users.interaction, k, candidates)
        return items, self.scores(self.parts["second"], users.interaction, items, candidates)

    def lists(self, interaction: Interaction, k: int, candidates: Tensor) -> list[Tensor]:
        """Both models' lists `[B, n]`, as long as `list_length` says but no shorter than k."""
        n = max(k, self.decoding["list_length"])
        return [self.list_of(part, interaction, n, candidates) for part in self.parts.values()]

    def list_of(self, part: SequentialRecommender, interaction: Interaction, n: int, candidates: Tensor) -> Tensor:
        """A model's best n candidates `[B, n]`."""
        if not hasattr(part, "full_sort_topk"):
            return rank_scores(item_scores(part, interaction, self.seen, self.drop_unseen), n, candidates)
        allowed = candidates if getattr(part, "inductive", False) else candidates & self.seen
        return part.full_sort_topk(interaction, n, allowed)

    def scores(
        self, part: SequentialRecommender, interaction: Interaction, items: Tensor, candidates: Tensor
    ) -> Tensor:
        """A model's scores of items `[B, n]`; -inf for what it can't score and for empty places."""
        if isinstance(part, ScoresItems):
            scores = item_scores(part, interaction, self.seen, self.drop_unseen).gather(1, items.clamp(min=0))
        else:
            scores = part.score_items(interaction, items, candidates)
            if scores is None:
                n = max(items.size(1), self.decoding["list_length"])
                scores = -places(items, self.list_of(part, interaction, n, candidates))
        return scores.masked_fill(items == EMPTY, NOTHING)


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
    scores = comparable(scores).masked_fill(items == EMPTY, NOTHING)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return F.pad(items.gather(1, order), (0, k - order.size(1)), value=EMPTY)
