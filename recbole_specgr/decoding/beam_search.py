"""Beam search over the prefix index, for whole batches of users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_specgr.backbones.contract import Backbone
from recbole_specgr.backbones.token_tree import Memory, NewNodes, TokenTree
from recbole_specgr.decoding.checks import check_probabilities
from recbole_specgr.decoding.digit_scale import AS_TRAINED, DigitScale
from recbole_specgr.decoding.left_out import among
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


@dataclass
class Beams:
    """The best prefixes of one length, best first; where a user has fewer, the score is -inf.

    Attributes:
        nodes: numbers in the prefix index `[B, beams]`.
        parents: for each, the index of the beam that it continues `[B, beams]`.
        scores: sum of the tokens' log-probabilities `[B, beams]`.
    """

    nodes: Tensor
    parents: Tensor
    scores: Tensor

    @classmethod
    def root(cls, users: int, like: Tensor) -> Beams:
        """The empty prefix of every user; scores are of the type and on the device of `like`."""
        zero = torch.zeros(users, 1, dtype=torch.long, device=like.device)
        return cls(zero, zero, like.new_zeros(users, 1))

    @property
    def exist(self) -> Tensor:
        return self.scores > -torch.inf

    def select(self, users: Tensor) -> Beams:
        """The beams of some users, `users` `[B]` bool."""
        return Beams(self.nodes[users], self.parents[users], self.scores[users])


@dataclass
class BeamSearchResult:
    """The items that the beams reached.

    Attributes:
        items: best first `[B, k]`, -1 where there are no more.
        scores: their log-probabilities, the sum over the digits `[B, k]`, -inf beside -1.
        is_nan: whether a probability was NaN, which makes the lists worthless; BoolTensor `[]`.
    """

    items: Tensor
    scores: Tensor
    is_nan: Tensor

    def check(self) -> None:
        """Raise ValueError where a probability was NaN."""
        check_probabilities(self.is_nan)


def step(
    beams: Beams,
    log_probs: Tensor,
    index: PrefixIndex,
    depth: int,
    first_token: int,
    width: int,
    used_up: Tensor | None = None,
) -> Beams:
    """The best `width` continuations of `beams` among the prefixes that exist.

    Args:
        beams: at `depth`.
        log_probs: of the next digit's tokens after each beam `[B, beams, level size]`.
        first_token: the token that the first column of `log_probs` stands for.
        width: number of beams to keep.
        used_up: prefixes of the next depth that a user's beams do without `[B, S]`, -1 in places that are empty.
    """
    child, _, scores = continuations(beams, log_probs, index, depth, first_token, used_up)
    best, choice = scores.flatten(1).topk(min(width, scores[0].numel()), dim=1)
    return Beams(child.flatten(1).gather(1, choice), choice // child.size(2), best)


def continuations(
    beams: Beams,
    log_probs: Tensor,
    index: PrefixIndex,
    depth: int,
    first_token: int,
    used_up: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """All prefixes that continue the beams; arguments as in `step`.

    Returns:
        Their numbers in the prefix index, the columns of `log_probs` that are theirs, and their scores, -inf for those
        that do not exist or are used up; each `[B, beams, children]`.
    """
    child, exists = index.children(depth, beams.nodes)
    if used_up is not None:
        exists = exists & ~among(child.flatten(1), used_up).view_as(child)
    column = index.levels[depth + 1].token[child] - first_token
    log_probs_below = log_probs.gather(2, column).masked_fill(~exists, -torch.inf)
    return child, column, beams.scores[:, :, None] + log_probs_below


def group_sizes(num_beams: int, groups: int) -> list[int]:
    """How many beams each group has: as even as can be, the first ones one more where it does not go even."""
    groups = min(groups, num_beams)
    return [num_beams // groups + (number < num_beams % groups) for number in range(groups)]


def grouped_step(
    beams: Beams,
    log_probs: Tensor,
    index: PrefixIndex,
    depth: int,
    first_token: int,
    sizes: Sequence[int],
    penalty: float,
    used_up: Tensor | None = None,
) -> Beams:
    """The best continuations group by group: diverse beam search (Vijayakumar et al., AAAI 2018).

    Each group continues its own beams only, so no popular prefix can take the places of all. The groups choose one
    after another; a token counts `penalty` less for each beam of the groups before that chose it. No two beams are the
    same prefix. Scores stay log-probabilities: the penalty decides what is kept, and nothing else.

    Args:
        beams: at `depth`, group after group; at depth 0 all groups continue the root.
        sizes: beams of each group; a group that has fewer is filled up with beams of the score -inf.
        penalty: in nats.
        used_up: as in `step`.

    Returns:
        As many beams as all groups have, group after group.
    """
    child, column, scores = continuations(beams, log_probs, index, depth, first_token, used_up)
    used = scores.new_zeros(len(scores), log_probs.size(2))
    found, first = [], 0
    for size in sizes:
        own = slice(0, 1) if depth == 0 else slice(first, first + size)
        choice_of = scores[:, own].flatten(1)
        tokens = column[:, own].flatten(1)
        _, choice = (choice_of - penalty * used.gather(1, tokens)).topk(min(size, choice_of.size(1)), dim=1)
        best = choice_of.gather(1, choice)
        chosen = Beams(child[:, own].flatten(1).gather(1, choice), own.start + choice // child.size(2), best)
        used.scatter_add_(1, tokens.gather(1, choice), chosen.exist.to(used))
        if depth == 0:  # the next group has to take others
            scores = scores.scatter(2, choice[:, None], -torch.inf)
        pad = (0, size - choice.size(1))
        found.append((F.pad(chosen.nodes, pad), F.pad(chosen.parents, pad), F.pad(best, pad, value=-torch.inf)))
        first += size
    return Beams(*(torch.cat(parts, dim=1) for parts in zip(*found, strict=True)))


def beam_search(
    backbone: Backbone,
    memory: Memory,
    index: PrefixIndex,
    digit_columns: Sequence[slice],
    k: int,
    num_beams: int,
    scale: DigitScale = AS_TRAINED,
    groups: int = 1,
    group_penalty: float = 0.0,
    *,
    left_out: Tensor | None = None,
) -> BeamSearchResult:
    """The k most probable items of each user that the beams reach. No value is read on the host.

    What is left out takes no beam: a user's search is that over the ids of all other items.

    Args:
        backbone: scores the digits.
        memory: of B users.
        index: the candidates' ids.
        digit_columns: each digit's part of the vocabulary.
        k: list length.
        num_beams: prefixes kept at each depth but the last, which keeps k. With as many beams as there are
            prefixes the list is exact.
        scale: on which the digits' log-probabilities are added up and compared.
        groups, group_penalty: of diverse beam search, see `grouped_step`; at the last digit all groups are one.
        left_out: items `[B, S]` that the user's list does without, 0 in places that are empty.
    """
    users = memory.bias.size(0)
    sizes = group_sizes(num_beams, groups)
    most = [
        num_beams if len(sizes) > 1 and depth else min(num_beams, level.nodes)
        for depth, level in enumerate(index.levels)
    ]
    rows = users * sum(most[:-1])
    tree = TokenTree(len(memory.layers), index.n_digits, rows)
    beams = Beams.root(users, memory.bias)
    slots = beams.nodes
    used_up = [None] * len(index.levels) if left_out is None else index.used_up(left_out)
    for depth, columns in enumerate(digit_columns):
        tokens = index.levels[depth].token[beams.nodes]
        (log_probs,) = backbone.extend(memory, tree, [NewNodes(tokens, slots, depth, columns)])
        if depth == 0:
            is_nan = log_probs.isnan().any()
        first_slot = tree.slots - tokens.size(1)
        log_probs = scale(log_probs, beams.nodes, index, depth, columns.start)
        without = used_up[depth + 1]
        if depth == len(digit_columns) - 1:
            beams = step(beams, log_probs, index, depth, columns.start, k, without)
        elif len(sizes) > 1:
            beams = grouped_step(beams, log_probs, index, depth, columns.start, sizes, group_penalty, without)
        else:
            beams = step(beams, log_probs, index, depth, columns.start, num_beams, without)
        slots = first_slot + beams.parents
    items = torch.where(beams.exist, index.leaf_items(beams.nodes), -1)
    pad = (0, k - items.size(1))
    return BeamSearchResult(F.pad(items, pad, value=-1), F.pad(beams.scores, pad, value=-torch.inf), is_nan)
