"""What a model can say of one item for one user, beside its score: serving makes an explanation of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Digit:
    """One digit of a semantic id after the digits before it.

    Attributes:
        code: its value on its level.
        log_prob: its log-probability, among the whole vocabulary where the model writes an id digit by digit, among the
            digit's codes where it predicts all digits at once.
        rank: its place among the codes of the level, from 1.
        codes: how many the level has.
        counts: it enters the item's score. The identification digit of an unseen item does not (Eq. 2), nor does any of
            a model that generates digits but ranks otherwise (LIGER).
    """

    code: int
    log_prob: float
    rank: int
    codes: int
    counts: bool


@dataclass(frozen=True)
class Draft:
    """An item in the eyes of a model that drafts and verifies.

    Attributes:
        score, rank: by the drafter; the rank is from 1, among the candidates.
        drafted_in: the round in which it would be drafted at the latest, from 1; None where in none.
        kept_out_by: where in none, the settings of the model that keep it out: `inductive_drafting`, or sizes that are
            too small; none where the drafter has no score for it.
        threshold: what the verifier's score must exceed.
        order: a sentence on what accepted items are ordered by; "" where it is the verifier's score alone.
    """

    score: float
    rank: int
    drafted_in: int | None
    kept_out_by: tuple[str, ...]
    threshold: float
    order: str


@dataclass(frozen=True)
class Reasons:
    """What there is to say; nothing of it from a model that ranks by scores alone.

    Attributes:
        digits: of the item's semantic id.
        shared_digits: how many leading digits each item's id has in common with it `[n_items]`.
        draft: where the model drafts.
    """

    digits: list[Digit] = field(default_factory=list)
    shared_digits: Tensor | None = None
    draft: Draft | None = None
