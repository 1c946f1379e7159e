"""Why an item stands in a user's list, or why not: its digits, its ranks, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.explaining import Digit, Reasons
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.system.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from recbole_specgr.serving.state import State

IN_HISTORY = "It is in the history, and lists of this run leave out what the user has had (repeatable: False)."
ALIKE = "Items less like those before them took its place (mmr_weight)."


@dataclass(frozen=True)
class Neighbour:
    """An item whose semantic id begins with the same digits."""

    item: str
    title: str
    shared_digits: int
    seen: bool


@dataclass(frozen=True)
class Explanation:
    """One item for one history; `str` of it is a text to read.

    Attributes:
        item, title, seen: which item; whether it is in the training data.
        k: length of the list that was asked for.
        place: in that list, from 1; None where it does not stand in it.
        round: of SpecGR, in which it was accepted, from 1; 0 where the verifier's own list filled it in; None where
            neither.
        score: the model's, with the bonus; None for a model that scores only what it lists. Its lists are ordered by
            it, but for what `order` says.
        candidates: number of items that it competes with, itself included.
        model_rank: its place among them by that score, from 1. For a generative model this is the verifier's rank.
        drafter_score, drafter_rank: of SpecGR's drafter.
        drafted_in: of SpecGR, the round in which it would be drafted at the latest, from 1; None where in none.
        kept_out_by: of SpecGR, where in none, the settings that keep it from being drafted.
        threshold: of SpecGR, what `score` must exceed.
        bonus: what the score of an unseen item has on top (`unseen_bonus`); 0 for a seen one.
        order: of SpecGR, a sentence on what else than `score` its lists are ordered by; "" where it is nothing.
        digits: of its semantic id.
        neighbours: items that share most leading digits with it.
        reason: all that in a sentence.
    """

    item: str
    title: str
    seen: bool
    k: int
    place: int | None
    round: int | None
    score: float | None
    candidates: int
    model_rank: int | None
    drafter_score: float | None = None
    drafter_rank: int | None = None
    drafted_in: int | None = None
    kept_out_by: tuple[str, ...] = ()
    threshold: float | None = None
    bonus: float = 0.0
    order: str = ""
    digits: list[Digit] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    reason: str = ""

    def __str__(self) -> str:
        lines = [f"{self.item}  {self.title}".rstrip() + ("" if self.seen else "  [new]"), self.reason]
        if self.model_rank is not None:
            bonus = f", with a bonus of {self.bonus:g} for a new item" if self.bonus else ""
            lines.append(f"score {self.score:.4f}{bonus}, rank {self.model_rank:,} of {self.candidates:,}")
        if self.drafter_rank is not None:
            lines.append(f"drafter: score {self.drafter_score:.4f}, rank {self.drafter_rank:,} of {self.candidates:,}")
        if self.order:
            lines.append(self.order)
        for number, digit in enumerate(self.digits, 1):
            left_out = "" if digit.counts else "  (not in the score)"
            lines.append(
                f"digit {number}: code {digit.code}, log-probability {digit.log_prob:.4f}, rank {digit.rank} of "
                f"{digit.codes}{left_out}"
            )
        for near in self.neighbours:
            mark = "" if near.seen else "  [new]"
            digits = "1 digit" if near.shared_digits == 1 else f"{near.shared_digits} digits"
            lines.append(f"shares {digits}: {near.item}  {near.title}{mark}")
        return "\n".join(lines)


@torch.no_grad()
def explain(
    state: State, ranker: Ranker, interaction: Interaction, item: str, k: int, left_out: Tensor | None = None
) -> Explanation:
    """Why `item` stands in the list of k of the one user in `interaction`, or why not.

    Args:
        ranker: of the state's model, with the settings of inference to explain.
        left_out: what the run's rule leaves out of the list `[1, S]`; None: nothing.

    Raises:
        UserError: an item that is not known.
    """
    row = state.row_of.get(item)
    if row is None:
        raise UserError(f"There is no item [{item}] in the run.{did_you_mean(item, state.row_of)}")
    candidates = state.allowed.clone()
    candidates[row] = True  # an item that is no candidate is explained as if it were one
    allowed = ranker.rankable(candidates)
    ranked = ranker.rank(interaction, k, candidates, left_out)
    found = (ranked.items[0] == row).nonzero()
    place = int(found[0]) if len(found) else None
    facts: dict[str, Any] = {
        "item": item,
        "title": state.catalogue.title(row),
        "seen": bool(state.catalogue.seen[row]),
        "k": k,
        "place": None if place is None else place + 1,
        "candidates": int(candidates.sum()),
        "round": None,
        "score": None,
        "model_rank": None,
    }
    if ranked.round_of is not None and place is not None:
        facts["round"] = int(ranked.round_of[0, place]) + 1
    if not facts["seen"]:
        facts["bonus"] = float(ranker.model.decoding.get("unseen_bonus", 0.0))
    if bool(allowed[row]):
        scores = ranker.score_candidates(interaction, candidates)
        if scores is not None:
            facts |= {"score": float(scores[0, row]), "model_rank": int((scores[0] > scores[0, row]).sum()) + 1}
        facts |= _reasons(state, ranker.model.reasons(ranker.as_read(interaction), row, k, allowed), row)
    explanation = Explanation(**facts)
    diverse = bool(ranker.model.decoding.get("mmr_weight"))
    if left_out is not None and bool((left_out == row).any()):
        return replace(explanation, reason=IN_HISTORY)
    return replace(explanation, reason=_reason(explanation, bool(state.allowed[row]), diverse))


def _reasons(state: State, reasons: Reasons, row: int) -> dict[str, Any]:
    """What the model says beside the score, as the explanation has it."""
    facts: dict[str, Any] = {"digits": reasons.digits}
    if reasons.shared_digits is not None:
        facts["neighbours"] = _neighbours(state, reasons.shared_digits, row)
    if reasons.draft is not None:
        draft = reasons.draft
        facts |= {
            "drafter_score": draft.score,
            "drafter_rank": draft.rank,
            "drafted_in": draft.drafted_in,
            "kept_out_by": draft.kept_out_by,
            "threshold": draft.threshold,
            "order": draft.order,
        }
    return facts


def _neighbours(state: State, shared_digits: Tensor, row: int, most: int = 10) -> list[Neighbour]:
    same = shared_digits.clone()
    same[row] = 0
    order = same.sort(descending=True, stable=True).indices[:most]
    return [
        Neighbour(
            str(state.catalogue.item_tokens[near]),
            state.catalogue.title(near),
            int(same[near]),
            bool(state.catalogue.seen[near]),
        )
        for near in order.tolist()
        if same[near] > 0
    ]


def _reason(e: Explanation, candidate: bool, diverse: bool) -> str:
    """What decided.

    Args:
        candidate: it may be recommended.
        diverse: the list was chosen to hold items that are not all alike.
    """
    if not candidate:
        return "It can't be recommended: it is no candidate, was removed, or is an unseen item of a transductive model."
    if e.drafter_rank is None:
        if e.place is not None:
            return f"It stands at place {e.place} of {e.k}."
        if e.model_rank is None:
            return f"It does not stand in the list of {e.k}."
        higher = f"{e.model_rank - 1:,} items score higher."
        if e.model_rank <= e.k and (diverse or e.digits):
            why = ALIKE if diverse else "The search did not reach its id."
            return f"It does not stand in the list of {e.k}, though only {higher} {why}"
        return f"It does not stand in the list of {e.k}. {higher}"
    if e.round:
        return f"Drafted and accepted in round {e.round}; it stands at place {e.place} of {e.k}."
    if e.round == 0:
        return f"Not accepted from a draft, but the verifier's own list has it; it stands at place {e.place} of {e.k}."
    if e.drafted_in is None:
        return _why_not_drafted(e.drafter_rank, e.kept_out_by)
    assert e.score is not None and e.threshold is not None, "a drafted item has both"
    if e.score <= e.threshold:
        return (
            f"Drafted in round {e.drafted_in} and rejected: its score {e.score:.3f} is not above the threshold "
            f"{e.threshold:g}."
        )
    if diverse and e.model_rank is not None and e.model_rank <= e.k:
        return f"Its score {e.score:.3f} is above the threshold {e.threshold:g}. {ALIKE}"
    return (
        f"Its score {e.score:.3f} is above the threshold {e.threshold:g}, but the list was full before round "
        f"{e.drafted_in} drafted it, or better items fill it."
    )


def _why_not_drafted(rank: int, kept_out_by: tuple[str, ...]) -> str:
    if not kept_out_by:
        return "Not drafted in any round: the drafter has no score for it."
    if "inductive_drafting" in kept_out_by:
        return f"Not drafted in any round: it is new, and inductive_drafting is off. The drafter ranks it {rank:,}."
    beams = ", and no later round's beams have it among the best below them" if "num_beams" in kept_out_by else ""
    return (
        f"Not drafted in any round: the drafter ranks it {rank:,}{beams}. A larger {' or '.join(kept_out_by)} may "
        f"draft it."
    )
