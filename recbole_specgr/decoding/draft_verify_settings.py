"""What the user can turn of draft-verify."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from recbole_specgr.decoding.verification import VerificationSettings

ORDERS = ("merged", "accepted_first", "unseen_in_place")
OF_ACCEPTANCE = ("accept_threshold", "reranking", "adaptive_exit", "drafter_weight", "order")


@dataclass(frozen=True)
class DraftVerifySettings:
    """The settings of draft-verify, under the names that they have in the property files.

    The five switches are the components that the paper's Table 3 takes away one by one. The last four settings go
    beyond the paper; their defaults leave its algorithm as it is.

    Attributes:
        draft_size: items drafted a round (delta).
        num_beams: prefixes that guide re-drafting and fill up the list (beta).
        accept_threshold: a draft is accepted if its mean log-probability of a digit is above it (gamma).
        inductive_drafting: False drafts seen items only (1.1).
        score_adjustment: False counts the identification digit of unseen items too (1.2).
        guided_redrafting: False re-drafts from all items (1.3).
        reranking: False keeps accepted items in the order in which they were drafted (1.4).
        adaptive_exit: False runs all rounds for every user (1.5).
        unseen_bonus: what is added to the verifier's score of unseen items, in nats a digit: a verifier that never saw
            their combinations of digits underrates them.
        drafting_bonus: what is added to the drafter's score of unseen items, in whatever the drafter's scores are in.
        drafter_weight: weight of the drafter's score, with its bonus, beside the verifier's in the order of the list.
        order: `merged` orders accepted drafts and what fills up the list together; `accepted_first` puts the drafts
            first; `unseen_in_place` leaves unseen items the places that the drafter's scores give them, and orders
            the seen ones in the places that are left.

    Raises:
        ValueError: for a size below 1, an order that there is not, or a number that is none.
    """

    draft_size: int = 50
    num_beams: int = 50
    accept_threshold: float = -1.6
    inductive_drafting: bool = True
    score_adjustment: bool = True
    guided_redrafting: bool = True
    reranking: bool = True
    adaptive_exit: bool = True
    unseen_bonus: float = 0.0
    drafting_bonus: float = 0.0
    drafter_weight: float = 0.0
    order: str = "merged"

    def __post_init__(self) -> None:
        for name in ("draft_size", "num_beams"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is [{getattr(self, name)}], but must be at least 1")
        examples = {"accept_threshold": -1.6, "unseen_bonus": 0.2, "drafting_bonus": 1.6, "drafter_weight": 4.0}
        for name, example in examples.items():
            value = getattr(self, name)
            if value != value:
                raise ValueError(f"{name} is [nan], but must be a number, such as {example}")
        if self.order not in ORDERS:
            raise ValueError(f"order is [{self.order}], but must be one of {', '.join(ORDERS)}")

    @property
    def of_rounds(self) -> tuple[Any, ...]:
        """The values of those that decide what each round drafts and how the verifier scores it. `OF_ACCEPTANCE`, the
        others, only say which drafts are accepted and how they are ordered."""
        return tuple(getattr(self, field.name) for field in fields(self) if field.name not in OF_ACCEPTANCE)

    def for_verification(self, k: int) -> VerificationSettings:
        """Those that the verifier depends on, for lists of k."""
        return VerificationSettings(k, self.draft_size, self.num_beams, self.score_adjustment, self.unseen_bonus)
