"""SpecGR's inference (paper, "Speculative Generative Recommendation"): draft, verify, re-draft, exit; in batches.

Round j drafts the best items below the beams' prefixes, scores them by Eq. 2 and accepts those above the threshold;
then the beams take a step. Users that have enough accepted items leave. All users of a batch go through a round
together, each prefix is put through the decoder once a user however many drafts and beams share it, and a draft
whose partial score already lies at or below the threshold is dropped, since log-probabilities only fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_specgr.backbones.t5 import T5
from recbole_specgr.backbones.token_tree import Memory
from recbole_specgr.decoding.beam_search import NOTHING, Beams, check_finite, step
from recbole_specgr.decoding.verifier import Verifier
from recbole_specgr.semantic_ids.prefix_index import Level, PrefixIndex


@dataclass(frozen=True)
class DraftVerifySettings:
    """What the user can turn. The five switches are the components that the paper's Table 3 takes away one by one.

    Attributes:
        draft_size: items drafted a round (delta).
        num_beams: prefixes that guide re-drafting and fill up the list (beta).
        threshold: least mean log-probability of a token, exclusive, of an accepted item (gamma).
        inductive_drafting: False drafts seen items only (1.1).
        score_adjustment: False counts the identification digit of unseen items too (1.2).
        guided_redrafting: False re-drafts from all items (1.3).
        reranking: False keeps accepted items in the order in which they were drafted (1.4).
        adaptive_exit: False runs all rounds for every user (1.5).

    Raises:
        ValueError: for a size below 1 or a threshold that is no number.
    """

    draft_size: int = 50
    num_beams: int = 50
    threshold: float = -1.6
    inductive_drafting: bool = True
    score_adjustment: bool = True
    guided_redrafting: bool = True
    reranking: bool = True
    adaptive_exit: bool = True

    def __post_init__(self) -> None:
        for name in ("draft_size", "num_beams"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is [{getattr(self, name)}], but must be at least 1")
        if self.threshold != self.threshold:
            raise ValueError("threshold is [nan]; give a mean log-probability such as -1.6")


@dataclass
class DraftVerifyResult:
    """Ranked lists and how they came about.

    Attributes:
        items: `[B, K]`, -1 where there are no more.
        scores: mean log-probability of a token (Eq. 2) `[B, K]`, -inf beside -1.
        rounds: rounds that each user took `[B]`.
        drafted: drafts of each round `[B, rounds]`.
        accepted: of these, how many were accepted `[B, rounds]`.
        round_of: round in which each listed item was accepted `[B, K]`, -1 for one that the beams filled in.
        is_nan: whether a score of the drafter and one of the verifier was NaN, which makes the lists worthless `[2]`.
    """

    items: Tensor
    scores: Tensor
    rounds: Tensor
    drafted: Tensor
    accepted: Tensor
    round_of: Tensor
    is_nan: Tensor

    def check(self) -> None:
        """Raise ValueError where a score was NaN."""
        check_drafts(self.is_nan[0])
        check_finite(self.is_nan[1])


def draft_verify(
    backbone: T5,
    memory: Memory,
    index: PrefixIndex,
    level_slices: Sequence[slice],
    draft_scores: Tensor,
    seen: Tensor,
    k: int,
    settings: DraftVerifySettings,
    draft_items: Tensor | None = None,
    users_leave: bool | None = None,
) -> DraftVerifyResult:
    """The K best items of each user by speculation.

    Args:
        backbone: the verifier.
        memory: of B users.
        index: the candidates' ids; the last digit identifies.
        level_slices: each digit's part of the vocabulary.
        draft_scores: the drafter's score of every item `[B, n_items]`, or of `draft_items` alone `[B, M]`.
        seen: items of the training data `[n_items]`.
        k: list length (K).
        settings: sizes, threshold and switches.
        draft_items: the candidates that may be drafted for each user `[B, M]`, -1 where there are fewer; None: all.
        users_leave: users with K accepted items leave the batch, and only prefixes that are new are computed. That
            saves work but makes shapes depend on values, which a GPU's host has to wait for; without it no round
            waits. The lists are the same. None: on a CPU.

    Raises:
        ValueError: where a draft score or a probability is NaN, which comes from a model that has diverged.
    """
    result = speculate(backbone, memory, index, level_slices, draft_scores, seen, k, settings, draft_items, users_leave)
    result.check()
    return result


def speculate(
    backbone: T5,
    memory: Memory,
    index: PrefixIndex,
    level_slices: Sequence[slice],
    draft_scores: Tensor,
    seen: Tensor,
    k: int,
    settings: DraftVerifySettings,
    draft_items: Tensor | None = None,
    users_leave: bool | None = None,
) -> DraftVerifyResult:
    """`draft_verify` that reads no value on the host unless `users_leave`: `check` of the result is what may raise."""
    users, rounds = draft_scores.size(0), index.n_digits
    if users_leave is None:
        users_leave = draft_scores.device.type == "cpu"
    result = DraftVerifyResult(
        items=seen.new_full((users, k), -1, dtype=torch.long),
        scores=memory.bias.new_full((users, k), NOTHING),
        rounds=seen.new_zeros(users, dtype=torch.long),
        drafted=seen.new_zeros((users, rounds), dtype=torch.long),
        accepted=seen.new_zeros((users, rounds), dtype=torch.long),
        round_of=seen.new_full((users, k), -1, dtype=torch.long),
        is_nan=seen.new_zeros(2, dtype=torch.bool),
    )
    width = settings.num_beams + settings.draft_size
    verifier = Verifier(backbone, memory, index, level_slices, width, static=not users_leave)
    speculation = Speculation(verifier, draft_scores, seen, settings, draft_items)
    accepted, alive = Ranking.empty(users, memory.bias), torch.arange(users, device=seen.device)
    unfinished = torch.ones_like(alive, dtype=torch.bool)
    for depth in range(rounds):
        drafts, is_draft = speculation.draft(depth)
        scores, accept = speculation.verify(drafts, is_draft, settings.threshold)
        is_draft, accept = is_draft & unfinished[:, None], accept & unfinished[:, None]
        accepted = accepted.append(drafts, scores.masked_fill(~accept, NOTHING), depth)
        result.rounds[alive] += unfinished
        result.drafted[alive, depth], result.accepted[alive, depth] = is_draft.sum(1), accept.sum(1)
        if settings.adaptive_exit:
            unfinished = accepted.count < k
            if users_leave and not bool(unfinished.all()):
                accepted.select(~unfinished).best(k, settings.reranking).write(result, alive[~unfinished])
                if not bool(unfinished.any()):
                    return result
                alive, accepted = alive[unfinished], accepted.select(unfinished)
                speculation, unfinished = speculation.select(unfinished), unfinished[unfinished]
        speculation.step(depth, k)

    # where not enough was accepted in all rounds, the beams fill up the list
    accepted.fill(*speculation.beam_items(), k).best(k, settings.reranking).write(result, alive)
    result.is_nan = torch.stack([speculation.is_nan, speculation.verifier.is_nan])
    return result


def all_rounds(
    verifier: Verifier,
    draft_scores: Tensor,
    seen: Tensor,
    k: int,
    settings: DraftVerifySettings,
    draft_items: Tensor | None = None,
) -> Rounds:
    """Every round of every user, whatever is accepted: what the lists of *all* thresholds can be read off.

    Neither drafts nor beams depend on the threshold, which only says where a user stops. To tune it, this takes the
    place of one `draft_verify` for each threshold.

    Args:
        verifier: keeps every prefix it has seen, so that runs for other sizes can go on with it.
        draft_scores, seen, k, draft_items: as in `draft_verify`.
        settings: their threshold is not used.
    """
    speculation = Speculation(verifier, draft_scores, seen, settings, draft_items)
    drafted = Ranking.empty(len(draft_scores), draft_scores)
    for depth in range(verifier.index.n_digits):
        drafts, is_draft = speculation.draft(depth)
        scores, exists = speculation.verify(drafts, is_draft, NOTHING)
        drafted = drafted.append(drafts, scores.masked_fill(~exists, NOTHING), depth)
        speculation.step(depth, k)
    return Rounds(drafted, *speculation.beam_items(), settings)


@dataclass
class Rounds:
    """What `all_rounds` gives.

    Attributes:
        drafted: drafts of all rounds, in this order, with their scores (Eq. 2).
        beam_items, beam_scores: whole ids that fill up a list, best first `[B, beams]`.
        settings: what they were made with.
    """

    drafted: Ranking
    beam_items: Tensor
    beam_scores: Tensor
    settings: DraftVerifySettings

    def lists(self, k: int, threshold: float) -> Tensor:
        """The lists of `draft_verify` with this threshold `[B, k]`, -1 where there are no more."""
        drafted, rounds = self.drafted, torch.arange(int(self.drafted.rounds.max()) + 1, device=self.beam_items.device)
        accept = drafted.scores > threshold
        if self.settings.adaptive_exit:
            accepted_until = (accept[:, :, None] & (drafted.rounds[:, :, None] <= rounds)).sum(1)  # [B, rounds]
            last = (accepted_until < k).sum(1)  # the first round that has k; beyond the last where none has
            accept &= drafted.rounds <= last[:, None]
        accepted = Ranking(drafted.items, drafted.scores.masked_fill(~accept, NOTHING), drafted.rounds)
        best = accepted.fill(self.beam_items, self.beam_scores, k).best(k, self.settings.reranking)
        items = best.items.masked_fill(best.scores == NOTHING, -1)
        return torch.nn.functional.pad(items, (0, k - items.size(1)), value=-1)


def check_drafts(is_nan: Tensor) -> None:
    """Raise ValueError where any of a drafter's scores is NaN."""
    if bool(is_nan):
        raise ValueError("the drafter's scores hold NaN: its weights or its item vectors are broken")


class Speculation:
    """Some users in the midst of their rounds: what may still be drafted for them, and their beams.

    Args:
        verifier, draft_scores, seen, settings, draft_items: as in `draft_verify`.

    Raises:
        ValueError: where a draft score is NaN.
    """

    def __init__(
        self,
        verifier: Verifier,
        draft_scores: Tensor,
        seen: Tensor,
        settings: DraftVerifySettings,
        draft_items: Tensor | None = None,
    ) -> None:
        self.verifier, self.settings = verifier, settings
        self.is_nan = draft_scores.isnan().any()
        if not verifier.static:
            check_drafts(self.is_nan)
        index = verifier.index
        if draft_items is None:
            self.pool, scores = index.items[None], draft_scores[:, index.items]
        else:
            self.pool = torch.where(draft_items < 0, index.items[0], draft_items)
            scores = draft_scores.masked_fill(draft_items < 0, NOTHING)
        if not settings.inductive_drafting:
            scores = scores.masked_fill(~seen[self.pool], NOTHING)
        self.pool_scores = scores  # what was drafted is set to -inf
        self.length = torch.full_like(seen, index.n_digits, dtype=torch.long)
        if settings.score_adjustment:
            self.length -= (~seen).long()
        self.beams = self.shorter = Beams.root(len(draft_scores), verifier.memory.bias)
        self.places = self.beams.nodes

    def draft(self, depth: int) -> tuple[Tensor, Tensor]:
        """The best items below the beams that were not drafted yet `[b, n]`, and which of them are no padding."""
        scores = self.pool_scores
        if depth:
            self.places = self.verifier.place(
                depth, self.beams.nodes, self.places.gather(1, self.beams.parents), self.beams.exist
            )
            if self.settings.guided_redrafting:
                level = self.verifier.index.levels[depth]
                scores = scores.masked_fill(~below(self.beams, level, self.pool), NOTHING)
        best, chosen = scores.topk(min(self.settings.draft_size, scores.size(1)), dim=1)
        # what lies below no beam now cannot lie below a longer one later either
        self.pool_scores = self.pool_scores.scatter(1, chosen, NOTHING)
        return self.pool.expand(len(chosen), -1).gather(1, chosen), best > NOTHING

    def verify(self, drafts: Tensor, is_draft: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        """Scores of the drafts `[b, n]` and which are accepted; see `Verifier.verify`."""
        return self.verifier.verify(drafts, is_draft, self.length[drafts], threshold)

    def step(self, depth: int, k: int) -> None:
        """Let the beams grow from `depth` by a digit; whole ids are at least k, for they fill up lists of k."""
        slices = self.verifier.level_slices
        width = max(self.settings.num_beams, k) if depth == len(slices) - 1 else self.settings.num_beams
        log_probs = self.verifier.log_probs(depth, self.places)
        self.shorter, self.beams = (
            self.beams,
            step(self.beams, log_probs, self.verifier.index, depth, slices[depth].start, width),
        )

    def beam_items(self) -> tuple[Tensor, Tensor]:
        """After the last step: the beams' items and scores (Eq. 2) `[b, beams]`, -inf where there is none."""
        items = torch.where(self.beams.exist, self.verifier.index.leaf_items(self.beams.nodes), 0)
        length = self.length[items]
        counts_all = length == len(self.verifier.level_slices)
        total = torch.where(counts_all, self.beams.scores, self.shorter.scores.gather(1, self.beams.parents))
        return items, (total / length).masked_fill(~self.beams.exist, NOTHING)

    def select(self, users: Tensor) -> Speculation:
        """Some of the users, `users` `[b]` bool."""
        chosen = object.__new__(Speculation)
        chosen.settings, chosen.length, chosen.is_nan = self.settings, self.length, self.is_nan
        chosen.verifier, chosen.beams = self.verifier.select(users), self.beams.select(users)
        chosen.shorter, chosen.places = self.shorter.select(users), self.places[users]
        chosen.pool = self.pool if len(self.pool) == 1 else self.pool[users]
        chosen.pool_scores = self.pool_scores[users]
        return chosen


def below(beams: Beams, level: Level, items: Tensor) -> Tensor:
    """Which of `items`, `[b, n]` or `[1, n]` for all users, have their prefix among the beams (Eq. 3): `[b, n]`."""
    guided = torch.zeros(len(beams.nodes), level.nodes, dtype=torch.bool, device=beams.nodes.device)
    guided.scatter_(1, beams.nodes, beams.exist)
    nodes = level.of_item[items]
    return guided[:, nodes[0]] if len(nodes) == 1 else guided.gather(1, nodes)


@dataclass
class Ranking:
    """Items of each user in the order in which they were accepted; a score of -inf marks a gap. All `[b, n]`."""

    items: Tensor
    scores: Tensor
    rounds: Tensor

    @classmethod
    def empty(cls, users: int, like: Tensor) -> Ranking:
        none = torch.zeros(users, 0, dtype=torch.long, device=like.device)
        return cls(none, like.new_zeros(users, 0), none)

    @property
    def count(self) -> Tensor:
        return (self.scores > NOTHING).sum(1)

    def append(self, items: Tensor, scores: Tensor, round_: int) -> Ranking:
        rounds = torch.full_like(items, round_)
        return Ranking(
            torch.cat([self.items, items], 1), torch.cat([self.scores, scores], 1), torch.cat([self.rounds, rounds], 1)
        )

    def fill(self, items: Tensor, scores: Tensor, k: int) -> Ranking:
        """Append the first of `items` `[b, n]` that are not listed yet, until there are k."""
        listed = (items[:, :, None] == self.items[:, None, :]) & (self.scores > NOTHING)[:, None, :]
        new = (scores > NOTHING) & ~listed.any(2)
        new &= new.cumsum(1) <= (k - self.count)[:, None]
        return self.append(items, scores.masked_fill(~new, NOTHING), -1)

    def best(self, k: int, reranking: bool) -> Ranking:
        """The k best by score, or without re-ranking the first k."""
        key = self.scores if reranking else (self.scores > NOTHING).to(self.scores.dtype)
        order = key.sort(dim=1, descending=True, stable=True).indices[:, :k]
        return Ranking(self.items.gather(1, order), self.scores.gather(1, order), self.rounds.gather(1, order))

    def select(self, users: Tensor) -> Ranking:
        return Ranking(self.items[users], self.scores[users], self.rounds[users])

    def write(self, result: DraftVerifyResult, users: Tensor) -> None:
        """Into the rows `users` `[b]` of the result."""
        n, gap = self.items.size(1), self.scores == NOTHING
        result.items[users, :n] = self.items.masked_fill(gap, -1)
        result.scores[users, :n] = self.scores
        result.round_of[users, :n] = self.rounds.masked_fill(gap, -1)
