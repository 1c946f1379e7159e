"""SpecGR's inference, whatever drafts and whatever verifies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.all_rounds import AllRounds, all_rounds
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import DraftVerifyResult, draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.left_out import among
from recbole_specgr.evaluation.ranking import EMPTY, comparable
from recbole_specgr.models.contract import RankedList, RanksByList, Users
from recbole_specgr.models.explaining import Draft, Reasons
from recbole_specgr.models.verifying import ReadUsers, Verifier

SWITCHES = ("inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit")
BEYOND_THE_PAPER = ("unseen_bonus", "drafting_bonus", "drafter_weight", "order")
OF_PREFIXES = ("num_beams", "score_adjustment", "guided_redrafting")  # of no effect on a verifier that has none


class SpeculativeRecommender(RanksByList):
    """Mixin: ranks by draft and verify. Subclasses give `verifier` and `draft_scores`.

    Attributes:
        decoding: the settings of `DraftVerifySettings` that its verifier depends on.
        draft_pool_size: how many items may be drafted for each user, found by `draftable`; None: all candidates.
    """

    inductive = True
    draft_pool_size: int | None = None
    decoding_keys: tuple[str, ...] = ("draft_size", "num_beams", "accept_threshold", *SWITCHES, *BEYOND_THE_PAPER)
    decoding: dict[str, Any]

    @property
    def verifier(self) -> Verifier:
        """The generator that verifies what is drafted."""
        raise NotImplementedError

    def draft_scores(self, interaction: Interaction, users: ReadUsers) -> Tensor:
        """The drafter's score of every item `[B, n_items]`."""
        raise NotImplementedError

    def draftable(self, users: ReadUsers, candidates: Tensor) -> tuple[Tensor | None, Tensor]:
        """What may be drafted for each user `[B, M]`, -1 where there are fewer, and the drafter's scores of it
        `[B, M]`; or None, for all candidates, and the scores of all items `[B, n_items]`."""
        assert users.draft_scores is not None
        return None, users.draft_scores

    def read_decoding(self, config: Config) -> dict[str, Any]:
        """The settings for `decoding`. Those without effect on this verifier are not read, so that a run says so of one
        that is given."""
        without_effect = () if self.verifier.has_prefixes else OF_PREFIXES
        return {key: config[key] for key in self.decoding_keys if key not in without_effect}

    @property
    def draft_verify_settings(self) -> DraftVerifySettings:
        return DraftVerifySettings(**{key: self.decoding[key] for key in self.decoding_keys if key in self.decoding})

    def encode_users(self, interaction: Interaction) -> ReadUsers:
        return self._with_draft_scores(interaction, self.verifier.read(interaction))

    def _with_draft_scores(self, interaction: Interaction, users: ReadUsers) -> ReadUsers:
        """The users with the drafter's scores of all items, where it drafts by these."""
        if self.draft_pool_size:
            return users
        return replace(users, draft_scores=comparable(self.draft_scores(interaction, users)))

    @torch.no_grad()
    def speculate(
        self, interaction: Interaction, k: int, candidates: Tensor, left_out: Tensor | None = None
    ) -> DraftVerifyResult:
        """Ranked lists with their scores, rounds and acceptance."""
        return self._draft_verify(self.encode_users(interaction), k, candidates, left_out)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        """The k best candidates by draft and verify. Where work is shared the lists come without their scores."""
        return self._ranked(users, k, candidates, None)

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        """What is left out is not drafted, and does not fill up: it takes no place, and accepts nothing."""
        return self._ranked(users, k, candidates, left_out)

    def _ranked(self, users: Users, k: int, candidates: Tensor, left_out: Tensor | None) -> RankedList:
        assert isinstance(users, ReadUsers)
        if users.shared is None:
            result = self._draft_verify(users, k, candidates, left_out)
            return RankedList(result.items, result.scores, result.round_of)
        settings = self.draft_verify_settings
        rounds = users.once(
            ("all_rounds", k, settings.of_rounds, left_out is None),  # users are asked without the same items always
            lambda: self.all_rounds(users, k, candidates, left_out),
        )
        return RankedList.unscored(rounds.lists(k, settings))

    def ranking_steps(self, k: int, candidates: Tensor) -> dict[str, Callable[[Interaction, Any], Any]]:
        return {
            "encode": lambda interaction, _: self.verifier.read(interaction),
            "draft": self._with_draft_scores,  # from a pool it is part of the next step, which finds the pool
            "verify": lambda _, users: self.rank_users(users, k, candidates),
        }

    def reasons(self, interaction: Interaction, item: int, k: int, candidates: Tensor) -> Reasons:
        model, users, settings = self.verifier, self.encode_users(interaction), self.draft_verify_settings
        scores = self.draft_scores(interaction, users)[0] + settings.drafting_bonus * (~model.seen)
        scores = scores.masked_fill(~candidates, -torch.inf)
        rounds = self.all_rounds(users, k, candidates)
        drafted, pool = rounds.drafted, rounds.pool
        found = ((drafted.items[0] == item) & drafted.exist[0]).nonzero()
        kept_out_by: tuple[str, ...] = ()
        if not len(found) and bool(scores[item] > -torch.inf):
            if bool(((pool.items[0] == item) & (pool.all_scores[0] > -torch.inf)).any()):
                kept_out_by = ("draft_size", "num_beams") if rounds.guided else ("draft_size",)
            else:
                taken_out = not settings.inductive_drafting and not bool(model.seen[item])
                kept_out_by = ("inductive_drafting",) if taken_out else ("draft_pool",)
        draft = Draft(
            score=float(scores[item]),
            rank=int((scores > scores[item]).sum()) + 1,
            drafted_in=int(drafted.rounds[0, found[0]]) + 1 if len(found) else None,
            kept_out_by=kept_out_by,
            threshold=float(settings.accept_threshold),
            order=_order(settings),
        )
        return Reasons(model.digits(users, item, settings.score_adjustment), model.shared_digits(item), draft)

    @torch.no_grad()
    def score_items(self, interaction: Interaction, items: Tensor, candidates: Tensor) -> Tensor:
        """The scores that it would rank given candidates `[B, n]` by, drafted or not `[B, n]`; -inf beside -1."""
        settings = self.draft_verify_settings.for_verification(items.size(1))
        return self.verifier.log_likelihood(interaction, items, candidates, settings)

    def all_rounds(self, users: ReadUsers, k: int, candidates: Tensor, left_out: Tensor | None = None) -> AllRounds:
        """What the lists of all thresholds can be read off, under the settings in `decoding`."""
        model, settings = self.verifier, self.draft_verify_settings
        for_verification = settings.for_verification(k)
        verification = users.once(
            "verification", lambda: model.verification(users.memory, candidates, for_verification)
        )
        nearest, scores = users.once("draftable", lambda: self.draftable(users, candidates))
        pool = draft_pool(nearest, scores, left_out, model.candidate_items(candidates), model.seen, settings)
        verification = verification.restart(for_verification)
        return all_rounds(verification if left_out is None else verification.without(left_out), pool, settings)

    def _draft_verify(
        self, users: ReadUsers, k: int, candidates: Tensor, left_out: Tensor | None = None
    ) -> DraftVerifyResult:
        model, settings = self.verifier, self.draft_verify_settings
        items, seen = model.candidate_items(candidates), model.seen
        nearest, scores = self.draftable(users, candidates)
        users_leave = not model.records_decoding and scores.device.type == "cpu"

        given = {"nearest": nearest, "left_out": left_out}
        inputs = {name: tensor for name, tensor in given.items() if tensor is not None}
        for_verification = settings.for_verification(k)

        def decode(memory: Any, scores: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
            now = dict(zip(inputs, more, strict=True))
            verification = model.verification(memory, candidates, for_verification, static=not users_leave)
            if (without := now.get("left_out")) is not None:
                verification = verification.without(without)
            pool = draft_pool(now.get("nearest"), scores, without, items, seen, settings)
            result = draft_verify(verification, pool, k, settings, users_leave)
            return tuple(getattr(result, field.name) for field in fields(result))

        constants = "draft_verify", items, seen, k, settings, *inputs
        result = DraftVerifyResult(*model.run_decoding(decode, users, constants, scores, *inputs.values()))
        result.check()
        return result


def _order(settings: DraftVerifySettings) -> str:
    """What accepted items are ordered by, for people; "" where it is the verifier's score alone."""
    if not settings.reranking:
        return "Accepted items stand in the order in which they were drafted (reranking is off)."
    weight = settings.drafter_weight
    key = f"its score + {weight:g} times the drafter's (drafter_weight)" if weight else "its score"
    if settings.order == "unseen_in_place":
        return f"New items have the drafter's places; a seen item is ordered by {key}, in the places left."
    first = ", behind all accepted drafts where it is none" if settings.order == "accepted_first" else ""
    return f"An accepted item is ordered by {key}{first}." if weight or first else ""


def draft_pool(
    nearest: Tensor | None,
    scores: Tensor,
    left_out: Tensor | None,
    candidates: Tensor,
    seen: Tensor,
    settings: DraftVerifySettings,
) -> DraftPool:
    """What may be drafted.

    Args:
        nearest: the items that may be `[B, M]`, -1 where there are fewer; None: all candidates.
        scores: the drafter's of these `[B, M]`, or of all items `[B, n_items]`.
        left_out: what may not be, for each user `[B, S]`, 0 in places that are empty; None: nothing.
        candidates: items `[n]`.
        seen: items of the training data `[n_items]`.
    """
    scores = comparable(scores)
    if nearest is None:
        if left_out is not None:
            scores = scores.scatter(1, left_out, -torch.inf)
        pool = DraftPool.of_candidates(candidates, scores)
    else:
        if left_out is not None:
            nearest = nearest.masked_fill(among(nearest, left_out), EMPTY)
        pool = DraftPool.of_nearest(candidates, nearest, scores)
    if settings.drafting_bonus:
        pool = pool.favouring(~seen, settings.drafting_bonus)
    return pool if settings.inductive_drafting else pool.without(~seen)
