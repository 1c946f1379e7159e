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
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

# The whole vocabulary, as the model was trained; the tokens of the digit's level; those that some candidate's id goes
# on with. The last is what a decoder gives that masks tokens before its softmax: it favours prefixes of few items.
NORMALIZERS = ("full", "level", "trie")


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
    normalizer: str = "full",
) -> Beams:
    """The best `width` continuations of `beams` among the prefixes that exist.

    Args:
        beams: at `depth`.
        log_probs: of the next digit's tokens after each beam `[B, beams, level size]`.
        first_token: the token that the first column of `log_probs` stands for.
        width: number of beams to keep.
        normalizer: what the probabilities of a prefix's next digit add up to 1 over (one of `NORMALIZERS`).
    """
    child, exists = index.children(depth, beams.nodes)
    column = index.levels[depth + 1].token[child] - first_token
    log_probs_below = log_probs.gather(2, column).masked_fill(~exists, -torch.inf)
    if normalizer != "full":
        share = log_probs if normalizer == "level" else log_probs_below
        log_probs_below = log_probs_below - share.logsumexp(2, keepdim=True)
    scores = (beams.scores[:, :, None] + log_probs_below).flatten(1)
    best, choice = scores.topk(min(width, scores.size(1)), dim=1)
    return Beams(child.flatten(1).gather(1, choice), choice // child.size(2), best)


def beam_search(
    backbone: Backbone,
    memory: Memory,
    index: PrefixIndex,
    level_slices: Sequence[slice],
    k: int,
    num_beams: int,
    normalizer: str = "full",
) -> BeamSearchResult:
    """The k most probable items of each user that the beams reach. No value is read on the host.

    Args:
        backbone: scores the digits.
        memory: of B users.
        index: the candidates' ids.
        level_slices: each digit's part of the vocabulary.
        k: list length.
        num_beams: prefixes kept at each depth but the last, which keeps k. With as many beams as there are
            prefixes the list is exact.
        normalizer: what a digit's probabilities add up to 1 over, one of `NORMALIZERS`.

    Raises:
        ValueError: for another normaliser.
    """
    if normalizer not in NORMALIZERS:
        raise ValueError(f"normalizer is [{normalizer}], but must be one of {', '.join(NORMALIZERS)}")
    users = memory.bias.size(0)
    rows = users * sum(min(num_beams, level.nodes) for level in index.levels[:-1])
    tree = TokenTree(len(memory.layers), index.n_digits, rows)
    beams = Beams.root(users, memory.bias)
    slots = beams.nodes
    for depth, columns in enumerate(level_slices):
        tokens = index.levels[depth].token[beams.nodes]
        (log_probs,) = backbone.extend(memory, tree, [NewNodes(tokens, slots, depth, columns)])
        if depth == 0:
            is_nan = log_probs.isnan().any()
        first_slot = tree.slots - tokens.size(1)
        width = k if depth == len(level_slices) - 1 else num_beams
        beams = step(beams, log_probs, index, depth, columns.start, width, normalizer)
        slots = first_slot + beams.parents
    items = torch.where(beams.exist, index.leaf_items(beams.nodes), -1)
    pad = (0, k - items.size(1))
    return BeamSearchResult(F.pad(items, pad, value=-1), F.pad(beams.scores, pad, value=-torch.inf), is_nan)
