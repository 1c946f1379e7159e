from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.evaluation.ranking import comparable
from recbole_specgr.models.composite_recommender import CompositeRecommender
from recbole_specgr.models.contract import ModelContract, Part, ScoresItems
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.models.speculative_recommender import SpeculativeRecommender
from recbole_specgr.models.verifying import ReadUsers, Verifier
from recbole_specgr.system.errors import UserError


class SpecGR_Aux(SpeculativeRecommender, CompositeRecommender):
    """SpecGR with an auxiliary drafter: any model that scores items drafts, any generator of semantic ids verifies.

    Ding et al., "Inductive Generative Recommendation via Retrieval-based Speculation", AAAI 2026 ("Drafting
    Strategies" and Table 4). Settings `drafter` and `backbone` name the two; each is trained by itself and stopped by
    its own ranking, or taken from a finished run (`drafter_run`, `backbone_run`).
    """

    parts_in_order = ("drafter", "backbone")
    inheriting_parts = ("backbone",)
    compares_items = True

    @classmethod
    def check_parts(cls, config: Config, part_classes: Mapping[str, type[ModelContract]]) -> None:
        if not issubclass(part_classes["drafter"], ScoresItems):
            raise UserError(f"[drafter: {config['drafter']}] can't draft: it ranks items, but gives them no scores.")
        if not issubclass(part_classes["backbone"], Verifier):
            raise UserError(f"[backbone: {config['backbone']}] can't verify: it has no semantic ids.")

    def __init__(self, config: Config, dataset: Dataset, parts: Mapping[str, Part]) -> None:
        super().__init__(config, dataset, parts)
        self.decoding = self.read_decoding(config)
        self.list_length = max(config["topk"])
        self.verifier.prepare_decoding(config)
        self.unseen_history, self.draft_pool_size = config["unseen_history"], config["draft_pool"]

    @property
    def verifier(self) -> Verifier:
        backbone: Verifier = self.part("backbone")
        return backbone

    def alike(self, items: Tensor) -> Tensor:
        return self.verifier.alike(items)

    @property
    def drafter(self) -> Ranker:
        return Ranker(self.part("drafter"), self.verifier.seen, self.unseen_history)

    @property
    def approximation(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The drafter's, where its lists are what may be drafted; without a pool all items may be, by exact scores."""
        return super().approximation if self.draft_pool_size else {}

    def draft_scores(self, interaction: Interaction, users: ReadUsers) -> Tensor:
        scores = self.drafter.score_all(interaction)
        assert scores is not None, "check_parts refuses a drafter that has no scores"
        return scores

    def draftable(self, users: ReadUsers, candidates: Tensor) -> tuple[Tensor | None, Tensor]:
        if not self.draft_pool_size:
            return super().draftable(users, candidates)
        best = self.drafter.rank(users.interaction, self.draft_pool_size, candidates)
        return best.items, comparable(best.scores)
