"""SpecGR's inference, whatever drafts and whatever verifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.backbones.token_tree import Memory
from recbole_specgr.decoding.draft_verify import (
    DraftVerifyResult,
    DraftVerifySettings,
    Rounds,
    all_rounds,
    speculate,
)
from recbole_specgr.decoding.likelihood import likelihoods
from recbole_specgr.decoding.verifier import Verifier
from recbole_specgr.evaluation.ranking import comparable
from recbole_specgr.models.contract import RankedList, RanksByList
from recbole_specgr.models.explaining import Draft, Reasons
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender

SWITCHES = ("inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit")


class SpeculativeRecommender(RanksByList):
    """Mixin: ranks by draft and verify. Subclasses give `verifier` and `draft_scores`.

    Attributes:
        decoding: draft_size, num_beams, accept_threshold and the switches of the paper's Table 3.
    """

    inductive = True
    decoding_keys = ("draft_size", "num_beams", "accept_threshold", *SWITCHES)
    decoding: dict[str, Any]

    @property
    def verifier(self) -> GenerativeRecommender:
        """The generative recommender that verifies what is drafted."""
        raise NotImplementedError

    def draft_scores(self, interaction: Interaction, users: EncodedUsers) -> Tensor:
        """The drafter's score of every item `[B, n_items]`."""
        raise NotImplementedError

    def draft_pool(self, users: EncodedUsers, candidates: Tensor) -> tuple[Tensor, Tensor | None]:
        """The drafter's scores, and the items that they are of where those are not all: `draft_items` of
        `draft_verify`."""
        return users.draft_scores, None

    @property
    def draft_verify_settings(self) -> DraftVerifySettings:
        names = {"accept_threshold": "threshold"}
        return DraftVerifySettings(**{names.get(key, key): self.decoding[key] for key in self.decoding_keys})

    def encode_users(self, interaction: Interaction) -> EncodedUsers:
        users = self.verifier.read(interaction)
        return replace(users, draft_scores=comparable(self.draft_scores(interaction, users)))

    @torch.no_grad()
    def speculate(self, interaction: Interaction, k: int, candidates: Tensor) -> DraftVerifyResult:
        """Ranked lists with their scores, rounds and acceptance."""
        return self._draft_verify(self.encode_users(interaction), k, candidates)

    def rank_users(self, users: EncodedUsers, k: int, candidates: Tensor) -> RankedList:
        """The k best candidates by draft and verify. Where work is shared the lists come without their scores."""
        if users.shared is None:
            result = self._draft_verify(users, k, candidates)
            return RankedList(result.items, result.scores, result.round_of)
        settings = self.draft_verify_settings
        rounds = users.once(
            (k, replace(settings, threshold=0.0)), lambda: self._all_rounds(users, k, candidates, settings)
        )
        return RankedList.unscored(rounds.lists(k, settings.threshold))

    def ranking_steps(self, k: int, candidates: Tensor) -> dict[str, Callable[[Interaction, Any], Any]]:
        return {
            "encode": lambda interaction, _: self.verifier.read(interaction),
            "draft": lambda interaction, users: replace(users, draft_scores=self.draft_scores(interaction, users)),
            "verify": lambda _, users: self.rank_users(users, k, candidates),
        }

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        model, users, settings = self.verifier, self.encode_users(interaction), self.draft_verify_settings
        counted = len(model.level_slices)
        if settings.score_adjustment and not model.seen[item]:
            counted -= 1
        scores = self.draft_scores(interaction, users)[0].masked_fill(~candidates, -torch.inf)
        drafted = self._all_rounds(users, k, candidates, settings).drafted
        found = ((drafted.items[0] == item) & (drafted.scores[0] > -torch.inf)).nonzero()
        draft = Draft(
            score=float(scores[item]),
            rank=int((scores > scores[item]).sum()) + 1,
            drafted_in=int(drafted.rounds[0, found[0]]) + 1 if len(found) else None,
            threshold=float(settings.threshold),
        )
        return Reasons(model.digits(users, item, counted), model.shared_digits(item), draft)

    @torch.no_grad()
    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        """The scores that it would rank given candidates `[B, n]` by, drafted or not `[B, n]`; -inf beside -1."""
        model = self.verifier
        unseen = ~model.seen if self.decoding["score_adjustment"] else None
        memory, index = model.read(interaction).memory, model.index(candidates)
        return likelihoods(model.backbone, memory, index, model.level_slices, items, unseen)

    def _draft_verify(self, users: EncodedUsers, k: int, candidates: Tensor) -> DraftVerifyResult:
        model, settings = self.verifier, self.draft_verify_settings
        index, seen, levels = model.index(candidates), model.seen, model.level_slices
        scores, items = self.draft_pool(users, candidates)
        users_leave = None if model.replay is None else False

        def decode(memory: Memory, scores: Tensor, items: Tensor | None = None) -> tuple[Tensor, ...]:
            result = speculate(model.backbone, memory, index, levels, scores, seen, k, settings, items, users_leave)
            return tuple(getattr(result, field.name) for field in fields(result))

        inputs = (scores,) if items is None else (scores, items)
        result = DraftVerifyResult(*model.decode(decode, users, ("speculate", index, seen, k, settings), *inputs))
        result.check()
        return result

    def _all_rounds(self, users: EncodedUsers, k: int, candidates: Tensor, settings: DraftVerifySettings) -> Rounds:
        model = self.verifier
        verifier = users.once(
            "verifier",
            lambda: Verifier(
                model.backbone, users.memory, model.index(candidates), model.level_slices, 4 * settings.draft_size
            ),
        )
        scores, items = users.once("draft_pool", lambda: self.draft_pool(users, candidates))
        return all_rounds(verifier, scores, model.seen, k, settings, items)
