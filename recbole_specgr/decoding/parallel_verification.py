"""Verification by a generator that predicts all digits of an id at once."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from recbole_specgr.decoding.parallel_likelihood import log_likelihood, log_likelihood_of_all
from recbole_specgr.decoding.verification import VerificationSettings


class ParallelVerification:
    """A `Verification` that looks up the digits of all drafts of a batch at once.

    Digits that are predicted at once have no prefixes, and so nothing guides a further round: there is one.

    Args:
        log_probs: of each code of each digit `[B, L, C]`.
        codes: of all items `[n_items, L]`.
        candidates: the items that may be ranked `[n]`.
        seen: items of the training data `[n_items]`.
        settings: what the scores depend on. All digits of every item count: none only identifies.
    """

    def __init__(
        self, log_probs: Tensor, codes: Tensor, candidates: Tensor, seen: Tensor, settings: VerificationSettings
    ) -> None:
        self.log_probs, self.codes, self.candidates, self.seen = log_probs, codes, candidates, seen
        self.settings, self.rounds, self.dtype = settings, 1, log_probs.dtype
        self.bonus = settings.unseen_bonus * (~seen).to(log_probs)
        self.is_nan = log_probs.isnan().any()
        self.left_out: Tensor | None = None  # what each user's list does without [B, S]
        self._of_candidates: list[Tensor] = []  # scores without a bonus [B, n], shared by all that `restart` gives

    def may_be_drafted(self, items: Tensor) -> Tensor | None:
        return None

    def log_likelihood(self, items: Tensor, accept_threshold: float) -> Tensor:
        return log_likelihood(self.log_probs, self.codes, items) + self.bonus[items.clamp(min=0)]

    def step(self) -> None:
        """There are no prefixes that could grow."""

    def best(self) -> tuple[Tensor, Tensor]:
        """The best of all candidates, scored exactly."""
        if not self._of_candidates:
            self._of_candidates.append(log_likelihood_of_all(self.log_probs, self.codes[self.candidates]))
        scores = self._of_candidates[0] + self.bonus[self.candidates]
        if self.left_out is not None:
            place = torch.full_like(self.seen, len(self.candidates), dtype=torch.long)
            place[self.candidates] = torch.arange(len(self.candidates), device=place.device)
            wider = torch.nn.functional.pad(scores, (0, 1))  # the last column is for what is no candidate
            scores = wider.scatter(1, place[self.left_out], -torch.inf)[:, :-1]
        best, places = scores.topk(min(self.settings.k, len(self.candidates)), dim=1)
        return self.candidates[places], best

    def select(self, users: Tensor) -> ParallelVerification:
        chosen = copy.copy(self)
        chosen.log_probs, chosen._of_candidates = self.log_probs[users], []
        chosen.left_out = None if self.left_out is None else self.left_out[users]
        return chosen

    def restart(self, settings: VerificationSettings) -> ParallelVerification:
        again = ParallelVerification(self.log_probs, self.codes, self.candidates, self.seen, settings)
        again._of_candidates = self._of_candidates
        return again

    def without(self, left_out: Tensor) -> ParallelVerification:
        chosen = copy.copy(self)
        chosen.left_out = left_out
        return chosen
