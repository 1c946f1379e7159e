"""What draft-verify asks of a verifier, whatever kind of generator it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class VerificationSettings:
    """The settings of draft-verify that the verifier's scores and lists depend on.

    Attributes:
        k: list length (K).
        draft_size: items drafted a round (delta), which says how much memory will be needed.
        num_beams: prefixes that guide re-drafting (beta), for generators that have prefixes.
        score_adjustment: False counts the identification digit of unseen items too.
        unseen_bonus: what is added to the mean log-probability of an unseen item, in nats a digit.
    """

    k: int
    draft_size: int
    num_beams: int
    score_adjustment: bool
    unseen_bonus: float


class Verification(Protocol):
    """How a generator judges items for the users of one batch, round by round.

    A round of draft-verify asks, in this order: `may_be_drafted`, `log_likelihood` and `step`. After the last round,
    `best` is asked. No method reads a value on the host where the verification was made to be recorded.

    Attributes:
        rounds: how many rounds it can guide; 1 for a generator that has nothing to guide by.
        dtype: of its scores.
        seen: items of the training data `[n_items]`.
        is_nan: whether any of the generator's probabilities is NaN; BoolTensor `[]`, valid after the first round.
    """

    rounds: int
    dtype: torch.dtype
    seen: Tensor

    @property
    def is_nan(self) -> Tensor: ...

    def may_be_drafted(self, items: Tensor) -> Tensor | None:
        """Which of `items`, `[B, n]` or `[1, n]` for all users, lie below the round's prefixes (Eq. 3) `[B, n]`; None:
        all of them, as in the first round."""
        ...

    def log_likelihood(self, items: Tensor, accept_threshold: float) -> Tensor:
        """Mean log-probability of a digit of each item (Eq. 2).

        The identification digit of an unseen item, where ids have one, does not count under `score_adjustment`.

        Args:
            items: candidates `[B, n]`, -1 in places that are empty.
            accept_threshold: a score at or below it may be any upper bound that is at or below it, too.

        Returns:
            `[B, n]`, -inf in places that are empty.
        """
        ...

    def step(self) -> None:
        """Go on to the next round's prefixes."""
        ...

    def best(self) -> tuple[Tensor, Tensor]:
        """The generator's own list after the last `step`: items `[B, m]`, best first, and their scores as
        `log_likelihood` gives them `[B, m]`, -inf where there is no item. m is at least k, where there are k."""
        ...

    def select(self, users: Tensor) -> Verification:
        """The verification of some of the users, `users` `[B]` bool. It takes the place of this one."""
        ...

    def restart(self, settings: VerificationSettings) -> Verification:
        """A verification of the same users from the first round on, under other settings and with nothing left out;
        what was computed is kept."""
        ...

    def without(self, left_out: Tensor) -> Verification:
        """The verification whose prefixes and whose own list are those of all other items than each user's `left_out`
        `[B, S]`, 0 in places that are empty. Asked before the first round; it takes the place of this one."""
        ...
