from __future__ import annotations

from typing import Any

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.graph_search import ItemGraph, graph_search
from recbole_specgr.decoding.parallel_likelihood import log_likelihood, log_likelihood_of_all
from recbole_specgr.evaluation.ranking import SCORES_AT_ONCE, rank_blocks
from recbole_specgr.models.contract import RankedList, ScoresItems, Users, lists_without
from recbole_specgr.models.explaining import Reasons
from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.models.parallel_recommender import ParallelRecommender, PredictedDigits
from recbole_specgr.semantic_ids import SemanticIds

DECODING_KEYS = ("unseen_bonus", "graph_search", "graph_beam", "graph_steps")


class RPG(ParallelRecommender, ScoresItems):
    """RPG: long semantic ids whose digits are all predicted at once.

    Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025. An item's score is the mean
    log-probability of its digits (theirs is the sum, which ranks alike), whether it was seen in training or not.

    Attributes:
        decoding: `unseen_bonus` is added to an unseen item's score; `graph_search` ranks by the graph-guided search in
            place of all items, from `graph_beam` items in `graph_steps` steps.
    """

    def __init__(self, config: Config, dataset: Dataset, semantic_ids: SemanticIds) -> None:
        super().__init__(config, dataset, semantic_ids)
        self.decoding = {key: config[key] for key in DECODING_KEYS}
        self.graph_edges = config["graph_edges"]
        self._graph: tuple[Tensor, ItemGraph] | None = None  # of the candidates that were ranked last

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Mean cross entropy of a digit of the targets, of rows or of windows."""
        items, length = self.history(interaction)
        states, targets = learned_positions(self.transformer(self.embed(items)), length, interaction[self.ITEM_ID])
        return self.digit_loss(states, targets)

    # -- ranking -------------------------------------------------------------------------------------------------------

    @property
    def bonus(self) -> Tensor:
        """What is added to each item's score `[n_items]`."""
        return self.decoding["unseen_bonus"] * (~self.seen).to(self.digit_embedding)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The k best of all candidates, or of those that the graph-guided search finds."""
        if not self.decoding["graph_search"]:
            return self._best(users, k, candidates, None)
        assert isinstance(users, PredictedDigits)
        return self._search(users.log_probs, k, candidates)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """Of all candidates the others are ranked; the search finds longer lists, from wider beams where it must."""
        if not self.decoding["graph_search"]:
            return self._best(users, k, candidates, left_out)
        assert isinstance(users, PredictedDigits)
        log_probs = users.log_probs
        return lists_without(lambda rows, length: self._search(log_probs[rows], length, candidates), k, left_out)

    def _search(self, log_probs: Tensor, k: int, candidates: Tensor) -> RankedList:
        beam, steps, graph = self.decoding["graph_beam"], self.decoding["graph_steps"], self.graph(candidates)
        return RankedList(*graph_search(graph, log_probs, self.codes, self.bonus, k, beam, steps))

    def _best(self, users: Users, k: int, candidates: Tensor, left_out: Tensor | None) -> RankedList:
        assert isinstance(users, PredictedDigits)
        bonus, few = self.bonus, len(users.log_probs) * self.n_items <= SCORES_AT_ONCE

        def likelihoods(items: slice) -> Tensor:
            return log_likelihood_of_all(users.log_probs, self.codes[items])

        def scores(items: slice) -> Tensor:
            kept = users.once(("scores", items.start), lambda: likelihoods(items)) if few else likelihoods(items)
            return kept + bonus[items]

        return RankedList(*rank_blocks(scores, len(users.log_probs), k, candidates, left_out))

    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        scores = log_likelihood(self.read(interaction).log_probs, self.codes, items)
        return scores + self.bonus[items.clamp(min=0)]

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items `[B, n_items]`: mean log-probability of a digit, with an unseen item's bonus."""
        return log_likelihood_of_all(self.read(interaction).log_probs, self.codes) + self.bonus

    def graph(self, candidates: Tensor) -> ItemGraph:
        """The graph of the candidates `[n_items]`; the last one is kept until the model is trained on."""
        if self._graph is None or not torch.equal(self._graph[0], candidates):
            items = self.candidate_items(candidates)
            with torch.no_grad():
                self._graph = candidates, ItemGraph.build(self.digit_embedding, self.codes, items, self.graph_edges)
        return self._graph[1]

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        return Reasons(self.digits(self.read(interaction), item, False), self.shared_digits(item))

    # -- items that arrive later, and parameters that change -----------------------------------------------------------

    def items_changed(self) -> None:
        super().items_changed()
        self._graph = None

    def train(self, mode: bool = True) -> RPG:
        self._graph = None
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._graph = None
