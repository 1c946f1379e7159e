"""Lists whose items are not all alike: maximal marginal relevance and diverse beams against brute force."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from decoding_worlds import World
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_specgr.decoding.beam_search import group_sizes
from recbole_specgr.decoding.digit_scale import AS_TRAINED, DigitScale
from recbole_specgr.decoding.mmr import maximal_marginal_relevance
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

# ---- maximal marginal relevance ----


def by_loops(alike: list[list[float]], exist: list[bool], weight: float, k: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(k):
        worth = {}
        for place in (place for place, there in enumerate(exist) if there and place not in chosen):
            likeness = max((alike[other][place] for other in chosen), default=0.0)
            worth[place] = (1 - weight) / math.log2(place + 2) - weight * likeness
        empty = [place for place, there in enumerate(exist) if not there and place not in chosen]
        chosen.append(max(worth, key=lambda place: worth[place]) if worth else empty[0])
    return chosen


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12), st.floats(0, 1), st.data())
def test_places_are_those_of_a_loop(seed, n, weight, data):
    generator = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(3, n, 4, generator=generator, dtype=torch.double), dim=2)
    alike, exist = vectors @ vectors.transpose(1, 2), torch.rand(3, n, generator=generator) < 0.8
    k = data.draw(st.integers(1, n))
    found = maximal_marginal_relevance(alike, exist, weight, k)
    for user in range(3):
        assert found[user].tolist() == by_loops(alike[user].tolist(), exist[user].tolist(), weight, k)


def test_no_weight_keeps_the_order_and_all_of_it_avoids_the_alike():
    alike = torch.eye(4)
    alike[0, 1] = alike[1, 0] = 0.9  # the first two are alike
    exist = torch.ones(4, dtype=torch.bool)[None]
    assert maximal_marginal_relevance(alike[None], exist, 0.0, 3).tolist() == [[0, 1, 2]]
    assert maximal_marginal_relevance(alike[None], exist, 0.9, 3).tolist() == [[0, 2, 3]]


# ---- groups of beams, and temperature ----


def grouped_beams(user, tokens, candidates, k, num_beams, groups, penalty, temperature, slices) -> list[int]:
    """Diverse beam search, one prefix after another."""
    ids = {tuple(tokens[item].tolist()): item for item in candidates}
    sizes = [num_beams // groups + (number < num_beams % groups) for number in range(groups)]

    def longer(beams, depth):
        found = []
        for prefix, score in beams:
            log_probs = user.log_probs(prefix)
            if temperature != 1:
                level = log_probs[slices[depth]] / temperature
                log_probs = log_probs / temperature - level.logsumexp(0)
            following = sorted({full[depth] for full in ids if full[:depth] == prefix})
            found += [((*prefix, token), score + float(log_probs[token])) for token in following]
        return found

    beams = [[((), 0.0)]] * groups
    for depth in range(tokens.size(1) - 1):
        used, taken, chosen = {}, set(), []
        for group, size in zip(beams, sizes):
            open_ = [beam for beam in longer(group, depth) if beam[0] not in taken]
            best = sorted(open_, key=lambda beam: -(beam[1] - penalty * used.get(beam[0][-1], 0)))[:size]
            for prefix, _ in best:
                taken.add(prefix)
                used[prefix[-1]] = used.get(prefix[-1], 0) + 1
            chosen.append(best)
        beams = chosen
    last = longer([beam for group in beams for beam in group], tokens.size(1) - 1)
    return [ids[prefix] for prefix, _ in sorted(last, key=lambda beam: -beam[1])[:k]]


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("num_beams", "groups"), [(6, 3), (7, 2), (4, 4), (12, 5), (3, 8)])
@pytest.mark.parametrize(("penalty", "temperature"), [(0.0, 1.0), (2.0, 1.0), (0.5, 0.4), (0.0, 3.0)])
def test_groups_are_those_of_a_loop(seed, num_beams, groups, penalty, temperature):
    world = World(seed)
    index = PrefixIndex(world.tokens, world.subset)
    found = world.beam_search(index, 10, num_beams, DigitScale("full", temperature), groups, penalty).items
    for row, user in enumerate(world.users):
        few = min(groups, num_beams)
        arguments = (world.tokens, index.items.tolist(), 10, num_beams, few, penalty, temperature, world.slices)
        assert [item for item in found[row].tolist() if item > 0] == grouped_beams(user, *arguments)


@torch.no_grad()
def test_one_group_is_plain_beam_search():
    world = World(1)
    index = PrefixIndex(world.tokens)
    plain, grouped = world.beam_search(index, 10, 6), world.beam_search(index, 10, 6, AS_TRAINED, 1, 3.0)
    assert torch.equal(plain.items, grouped.items) and torch.equal(plain.scores, grouped.scores)


@torch.no_grad()
def test_groups_begin_with_more_first_digits_than_one_group():
    more = 0
    for seed in range(6):
        world = World(seed, n_items=200, codes=8)
        index = PrefixIndex(world.tokens)
        first = [
            world.tokens[world.beam_search(index, 10, 5, AS_TRAINED, groups).items.clamp(min=0), 0] for groups in (1, 5)
        ]
        more += sum(len(many.unique()) - len(one.unique()) for one, many in zip(*first))
    assert more > 0


def test_beams_are_dealt_out_evenly():
    assert group_sizes(7, 3) == [3, 2, 2] and group_sizes(2, 5) == [1, 1] and group_sizes(4, 1) == [4]
