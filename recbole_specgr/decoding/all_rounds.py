"""Every round of draft-verify: what the lists of all thresholds can be read off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.decoding.checks import check_draft_scores, check_probabilities
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import draft, ranked
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.scored_drafts import ScoredDrafts
from recbole_specgr.decoding.verification import Verification


@dataclass
class AllRounds:
    """What `all_rounds` gives.

    Attributes:
        drafted: drafts of all rounds, in this order, with their scores (Eq. 2).
        best_items, best_scores: the verifier's own list, which fills up `[B, m]`.
        pool: where the drafts come from.
        seen: items of the training data `[n_items]`.
        guided: the verifier's prefixes said what a later round may draft.
    """

    drafted: ScoredDrafts
    best_items: Tensor
    best_scores: Tensor
    pool: DraftPool
    seen: Tensor
    guided: bool

    def lists(self, k: int, settings: DraftVerifySettings) -> Tensor:
        """The lists that `draft_verify` gives `[B, k]`, -1 where there are no more.

        Args:
            k: list length.
            settings: those that the rounds were made with, but for `OF_ACCEPTANCE`, which may be others.
        """
        drafted = self.drafted
        accept = drafted.scores > settings.accept_threshold
        if settings.adaptive_exit:
            rounds = torch.arange(int(drafted.rounds.max()) + 1, device=accept.device)
            accepted_until = (accept[:, :, None] & (drafted.rounds[:, :, None] <= rounds)).sum(1)  # [B, rounds]
            last = (accepted_until < k).sum(1)  # the first round that has k; beyond the last where none has
            accept &= drafted.rounds <= last[:, None]
        filled = drafted.where(accept).fill(self.best_items, self.best_scores, k)
        best = ranked(filled, self.pool, self.seen, k, settings)
        items = best.items.masked_fill(~best.exist, -1)
        return F.pad(items, (0, k - items.size(1)), value=-1)


def all_rounds(verification: Verification, pool: DraftPool, settings: DraftVerifySettings) -> AllRounds:
    """Run every round for every user, whatever is accepted.

    Neither drafts nor the verifier's prefixes depend on the threshold, which only says where a user stops. To tune it,
    this takes the place of one `draft_verify` for each threshold.

    Args:
        verification: the verifier's judgement of B users, before its first round.
        pool: what may be drafted for them.
        settings: of them, only draft_size and guided_redrafting are used.

    Raises:
        ValueError: where a draft score or a probability is NaN, which comes from a model that has diverged.
    """
    check_draft_scores(pool.is_nan)
    drafted = ScoredDrafts.empty(len(pool.scores), pool.scores.new_empty(0, dtype=verification.dtype))
    for round_ in range(verification.rounds):
        drafts = draft(pool, verification, settings)
        drafted = drafted.append(drafts, verification.log_likelihood(drafts, -torch.inf), round_)
        verification.step()
    check_probabilities(verification.is_nan)
    guided = settings.guided_redrafting and verification.rounds > 1
    return AllRounds(drafted, *verification.best(), pool, verification.seen, guided)
