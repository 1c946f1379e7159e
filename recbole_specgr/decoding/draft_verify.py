"""SpecGR's inference (paper, "Speculative Generative Recommendation") for whole batches: draft, verify, accept, exit.

All users of a batch go through a round together, and users that have K accepted items leave. Whatever scores items can
draft (`DraftPool`), and whatever knows the probability of an item's digits can verify (`Verification`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.decoding.checks import check_draft_scores, check_probabilities
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.scored_drafts import ScoredDrafts
from recbole_specgr.decoding.verification import Verification


@dataclass
class DraftVerifyResult:
    """Ranked lists and how they came about.

    Attributes:
        items: `[B, K]`, -1 where there are no more.
        scores: mean log-probability of a digit (Eq. 2), with an unseen item's bonus `[B, K]`, -inf beside -1.
        rounds: rounds that each user took `[B]`.
        drafted: drafts of each round `[B, rounds]`.
        accepted: of these, how many were accepted `[B, rounds]`.
        round_of: round in which each listed item was accepted `[B, K]`, -1 for one that was filled in from the
            verifier's own list.
        is_nan: whether a score of the drafter and one of the verifier was NaN, which makes the lists worthless `[2]`.
    """

    items: Tensor
    scores: Tensor
    rounds: Tensor
    drafted: Tensor
    accepted: Tensor
    round_of: Tensor
    is_nan: Tensor

    @classmethod
    def empty(cls, users: int, k: int, rounds: int, like: Tensor) -> DraftVerifyResult:
        """To be written; scores are of the type and on the device of `like`."""
        zeros = like.new_zeros(users, rounds, dtype=torch.long)
        return cls(
            items=like.new_full((users, k), -1, dtype=torch.long),
            scores=like.new_full((users, k), -torch.inf),
            rounds=like.new_zeros(users, dtype=torch.long),
            drafted=zeros,
            accepted=zeros.clone(),
            round_of=like.new_full((users, k), -1, dtype=torch.long),
            is_nan=like.new_zeros(2, dtype=torch.bool),
        )

    def write(self, users: Tensor, ranked: ScoredDrafts) -> None:
        """Put the lists of some users, numbers `[b]`, into their rows."""
        n, gap = ranked.items.size(1), ~ranked.exist
        self.items[users, :n] = ranked.items.masked_fill(gap, -1)
        self.scores[users, :n] = ranked.scores
        self.round_of[users, :n] = ranked.rounds.masked_fill(gap, -1)

    def check(self) -> None:
        """Raise ValueError where a score was NaN."""
        check_draft_scores(self.is_nan[0])
        check_probabilities(self.is_nan[1])


def draft_verify(
    verification: Verification,
    pool: DraftPool,
    k: int,
    settings: DraftVerifySettings,
    users_leave: bool,
) -> DraftVerifyResult:
    """The K best items of each user by speculation.

    Args:
        verification: the verifier's judgement of B users, before its first round.
        pool: what may be drafted for them.
        k: list length (K).
        settings: sizes, threshold and switches.
        users_leave: users with K accepted items leave the batch. That saves work, but makes shapes depend on values,
            which a GPU's host has to wait for; without it, no value is read on the host. The lists are the same.
    """
    users, like = len(pool.scores), pool.scores.new_empty(0, dtype=verification.dtype)
    result = DraftVerifyResult.empty(users, k, verification.rounds, like)
    seen = verification.seen
    accepted, present = ScoredDrafts.empty(users, like), torch.arange(users, device=like.device)
    unfinished = torch.ones_like(present, dtype=torch.bool)

    for round_ in range(verification.rounds):
        # 1. Draft the best items that were not drafted yet, below the prefixes that the verifier has reached.
        drafts = draft(pool, verification, settings)

        # 2. Verify them by Eq. 2.
        scores = verification.log_likelihood(drafts, settings.accept_threshold)
        result.is_nan = torch.stack([pool.is_nan, verification.is_nan])

        # 3. Accept those above the threshold, for users that need more.
        is_draft = (drafts >= 0) & unfinished[:, None]
        is_accepted = is_draft & (scores > settings.accept_threshold)
        accepted = accepted.append(drafts, scores.masked_fill(~is_accepted, -torch.inf), round_)
        result.rounds[present] += unfinished
        result.drafted[present, round_], result.accepted[present, round_] = is_draft.sum(1), is_accepted.sum(1)

        # 4. Exit: users with K accepted items are done, and leave.
        if settings.adaptive_exit:
            unfinished = accepted.count < k
            if users_leave and not bool(unfinished.all()):
                done = ~unfinished
                result.write(present[done], ranked(accepted.select(done), pool.select(done), seen, k, settings))
                if bool(done.all()):
                    return result
                present, accepted, pool = present[unfinished], accepted.select(unfinished), pool.select(unfinished)
                verification, unfinished = verification.select(unfinished), unfinished[unfinished]

        # 5. Let the verifier's prefixes grow by a digit.
        verification.step()

    # 6. Where too few were accepted in all rounds, the verifier's own list fills up.
    accepted = accepted.fill(*verification.best(), k)
    result.write(present, ranked(accepted, pool, seen, k, settings))
    return result


def draft(pool: DraftPool, verification: Verification, settings: DraftVerifySettings) -> Tensor:
    """The drafts of a round `[B, n]`, -1 where there are fewer."""
    may_be_drafted = verification.may_be_drafted(pool.items) if settings.guided_redrafting else None
    return pool.draft(settings.draft_size, may_be_drafted)


def ranked(
    accepted: ScoredDrafts, pool: DraftPool, seen: Tensor, k: int, settings: DraftVerifySettings
) -> ScoredDrafts:
    """The list of K that is made of what was accepted and filled in, in the order that the settings ask for.

    Args:
        accepted: with gaps.
        pool: where the drafts come from.
        seen: items of the training data `[n_items]`.
        k: list length.
        settings: reranking, drafter_weight and order are used.
    """
    in_place = settings.order == "unseen_in_place"
    key = None
    if settings.reranking:
        key = accepted.scores
        if settings.drafter_weight or in_place:
            draft_scores = pool.scores_of(accepted.items)
            key = key + settings.drafter_weight * draft_scores
        if in_place:
            key = -unseen_in_place(accepted, draft_scores, key, seen).float()
    return accepted.ranked(key, k, settings.order == "accepted_first")


def unseen_in_place(accepted: ScoredDrafts, draft_scores: Tensor, key: Tensor, seen: Tensor) -> Tensor:
    """Places of the items where unseen ones have those that the drafter gives them, and the others share what is left.

    A verifier that never saw a new item's combination of digits knows little of how it stands to others. What it knows
    of seen items it can say without moving a new one.

    Args:
        accepted: n items of each user, with gaps.
        draft_scores: the drafter's `[B, n]`; the largest comes first, of equal ones the one that came first.
        key: what seen items are ordered by, the largest first `[B, n]`.
        seen: items of the training data `[n_items]`.

    Returns:
        `[B, n]`, from 0; a gap has a place behind all items.
    """
    exist, n = accepted.exist, key.size(1)
    order = draft_scores.masked_fill(~exist, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    drafted = torch.zeros_like(order).scatter(1, order, torch.arange(n, device=key.device).expand_as(order))
    drafted = drafted.masked_fill(~exist, n)
    is_seen = exist & seen[accepted.items]
    best_first = key.masked_fill(~is_seen, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    left = drafted.masked_fill(~is_seen, n).sort(dim=1).values
    return torch.where(is_seen, torch.zeros_like(order).scatter(1, best_first, left), drafted)
