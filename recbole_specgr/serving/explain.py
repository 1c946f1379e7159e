"""Why an item stands in a user's list, or why not: its digits, its ranks, and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_specgr.evaluation.ranking import comparable
from recbole_specgr.models.generative_recommender import EncodedUsers, GenerativeRecommender
from recbole_specgr.models.ranking import rank
from recbole_specgr.models.speculative_recommender import SpeculativeRecommender
from recbole_specgr.system.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from recbole_specgr.serving.state import State

_CHUNK = 512  # items that are verified together


@dataclass(frozen=True)
class Digit:
    """One digit of a semantic id after the digits before it.

    Attributes:
        code: its value on its level.
        log_prob: its log-probability among the whole vocabulary.
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
        round: of SpecGR, in which it was accepted, from 1; 0 where the beams filled it in; None where neither.
        score: by which lists of the model are ordered; None for a model that scores only what it lists.
        candidates: number of items that it competes with, itself included.
        model_rank: its place among them by that score, from 1. For a generative model this is the verifier's rank.
        drafter_score, drafter_rank: of SpecGR's drafter.
        drafted_in: of SpecGR, the round in which it would be drafted at the latest, from 1; None where in none.
        threshold: of SpecGR, what `score` must exceed.
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
    threshold: float | None = None
    digits: list[Digit] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    reason: str = ""

    def __str__(self) -> str:
        lines = [f"{self.item}  {self.title}".rstrip() + ("" if self.seen else "  [new]"), self.reason]
        if self.model_rank is not None:
            lines.append(f"score {self.score:.4f}, rank {self.model_rank:,} of {self.candidates:,}")
        if self.drafter_rank is not None:
            lines.append(f"drafter: score {self.drafter_score:.4f}, rank {self.drafter_rank:,} of {self.candidates:,}")
        for number, digit in enumerate(self.digits, 1):
            left_out = "" if digit.counts else "  (not in the score)"
            lines.append(
                f"digit {number}: code {digit.code}, log-probability {digit.log_prob:.4f}, rank {digit.rank} of "
                f"{digit.codes}{left_out}"
            )
        for near in self.neighbours:
            mark = "" if near.seen else "  [new]"
            lines.append(f"shares {near.shared_digits} digits: {near.item}  {near.title}{mark}")
        return "\n".join(lines)


@torch.no_grad()
def explain(state: State, model: nn.Module, interaction: Interaction, item: str, k: int) -> Explanation:
    """Why `item` stands in the list of k of the one user in `interaction`, or why not.

    Args:
        model: the state's, with the settings of inference to explain.

    Raises:
        UserError: an item that is not known.
    """
    row = state.row_of.get(item)
    if row is None:
        raise UserError(f"There is no item [{item}] in the run.{did_you_mean(item, state.row_of)}")
    allowed = state.allowed.clone()
    allowed[row] = True  # an item that is no candidate is explained as if it were one
    ranked = rank(model, interaction, k, allowed)
    found = (ranked.items[0] == row).nonzero()
    place = int(found[0]) if len(found) else None
    facts: dict[str, Any] = {
        "item": item,
        "title": state.catalogue.titles[row],
        "seen": bool(state.catalogue.seen[row]),
        "k": k,
        "place": None if place is None else place + 1,
        "candidates": int(allowed.sum()),
        "round": None,
    }
    if ranked.round_of is not None and place is not None:
        facts["round"] = int(ranked.round_of[0, place]) + 1
    generator = _generator(model)
    if generator is not None:
        facts |= _by_digits(model, generator, interaction, row, allowed, k)
        facts["neighbours"] = _neighbours(state, generator.tokens, row)
    elif not hasattr(model, "full_sort_topk"):
        scores = comparable(model.full_sort_predict(interaction)).view(-1).masked_fill(~allowed, -torch.inf)
        facts |= {"score": float(scores[row]), "model_rank": _rank(scores, row)}
    else:
        facts |= {"score": None, "model_rank": None}
    explanation = Explanation(**facts)
    return replace(explanation, reason=_reason(explanation, candidate=bool(state.allowed[row])))


def _generator(model: nn.Module) -> GenerativeRecommender | None:
    """What scores ids: the model itself, or SpecGR's verifier."""
    if isinstance(model, SpeculativeRecommender):
        return model.verifier
    return model if isinstance(model, GenerativeRecommender) else None


def _by_digits(
    model: nn.Module, generator: GenerativeRecommender, interaction: Interaction, row: int, allowed: Tensor, k: int
) -> dict[str, Any]:
    users = model.encode_users(interaction)
    speculates = isinstance(model, SpeculativeRecommender)
    scores = scores_of_all(model, generator, interaction, allowed)
    counted = len(generator.level_slices) if generator.scores_digits else 0
    if speculates and model.decoding["score_adjustment"] and not generator.seen[row]:
        counted -= 1
    facts = {
        "score": float(scores[row]),
        "model_rank": _rank(scores, row),
        "digits": _digits(generator, users, row, counted),
    }
    if speculates:
        draft_scores = model.draft_scores(interaction, users)[0].masked_fill(~allowed, -torch.inf)
        facts |= {
            "drafter_score": float(draft_scores[row]),
            "drafter_rank": _rank(draft_scores, row),
            "drafted_in": _drafted_in(model, users, row, allowed, k),
            "threshold": float(model.decoding["accept_threshold"]),
        }
    return facts


def scores_of_all(
    model: nn.Module, generator: GenerativeRecommender, interaction: Interaction, allowed: Tensor
) -> Tensor:
    """What the model ranks by, of every allowed item and one user; -inf for other items: `[n_items]`."""
    items = generator.index(allowed).items  # in the order of their ids, so that a piece shares prefixes
    found = [model.score_items(interaction, piece[None], allowed)[0] for piece in items.split(_CHUNK)]
    scores = comparable(torch.cat(found))
    return torch.full(allowed.shape, -torch.inf, dtype=scores.dtype, device=allowed.device).index_copy(0, items, scores)


def _digits(generator: GenerativeRecommender, users: EncodedUsers, row: int, counted: int) -> list[Digit]:
    tokens = generator.tokens[row][None]
    log_probs = generator.backbone.decode(users.encoded, users.tokens, tokens)[0].log_softmax(-1)
    digits = []
    for position, columns in enumerate(generator.level_slices):
        token, level = int(tokens[0, position]), log_probs[position, columns]
        own = log_probs[position, token]
        digits.append(
            Digit(
                code=token - columns.start,
                log_prob=float(own),
                rank=int((level > own).sum()) + 1,
                codes=len(level),
                counts=position < counted,
            )
        )
    return digits


def _drafted_in(model: Any, users: EncodedUsers, row: int, allowed: Tensor, k: int) -> int | None:
    """The round in which an item would be drafted if no user left early, from 1."""
    drafted = model.all_rounds(users, k, allowed).drafted
    found = ((drafted.items[0] == row) & drafted.exist[0]).nonzero()
    return int(drafted.rounds[0, found[0]]) + 1 if len(found) else None


def _neighbours(state: State, tokens: Tensor, row: int, most: int = 10) -> list[Neighbour]:
    same = (tokens == tokens[row]).long().cumprod(1).sum(1)
    same[0] = same[row] = 0
    order = same.sort(descending=True, stable=True).indices[:most]
    return [
        Neighbour(
            str(state.catalogue.item_tokens[near]),
            state.catalogue.titles[near],
            int(same[near]),
            bool(state.catalogue.seen[near]),
        )
        for near in order.tolist()
        if same[near] > 0
    ]


def _rank(scores: Tensor, row: int) -> int:
    return int((scores > scores[row]).sum()) + 1


def _reason(e: Explanation, candidate: bool) -> str:
    """What decided."""
    if not candidate:
        return "It can't be recommended: it is no candidate, was removed, or is an unseen item of a transductive model."
    if e.drafter_rank is None:
        if e.place is not None:
            return f"It stands at place {e.place} of {e.k}."
        if e.model_rank is None:
            return f"It does not stand in the list of {e.k}."
        higher = f"{e.model_rank - 1:,} items score higher."
        if e.model_rank <= e.k and e.digits:
            return f"It does not stand in the list of {e.k}, though only {higher} The beams did not reach its id."
        return f"It does not stand in the list of {e.k}. {higher}"
    if e.round:
        return f"Drafted and accepted in round {e.round}; it stands at place {e.place} of {e.k}."
    if e.round == 0:
        return f"Not accepted from a draft, but the beams reached it; it stands at place {e.place} of {e.k}."
    if e.drafted_in is None:
        return (
            f"Not drafted in any round: the drafter ranks it {e.drafter_rank:,}, and no later round's beams have it "
            f"among the best below them. A larger draft_size or num_beams would."
        )
    if e.score <= e.threshold:
        return (
            f"Drafted in round {e.drafted_in} and rejected: its score {e.score:.3f} is not above the threshold "
            f"{e.threshold:g}."
        )
    return (
        f"Its score {e.score:.3f} is above the threshold {e.threshold:g}, but the list was full before round "
        f"{e.drafted_in} drafted it, or better items fill it."
    )
