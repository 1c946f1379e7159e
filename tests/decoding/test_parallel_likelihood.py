"""Digits predicted at once: looked-up sums, the graph's search and draft-verify against plain loops over the digits."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recbole_specgr.decoding import graph_search as graphs
from recbole_specgr.decoding import parallel_likelihood
from recbole_specgr.decoding.all_rounds import all_rounds
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.parallel_verification import ParallelVerification


class World:
    """Random codes and log-probabilities in float64, so that no near tie can hide a difference."""

    def __init__(self, seed: int, n_items: int = 40, digits: int = 6, size: int = 4, users: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.codes = torch.randint(0, size, (n_items + 1, digits), generator=generator)
        logits = torch.randn(users, digits, size, generator=generator, dtype=torch.float64)
        self.log_probs = logits.log_softmax(-1)
        self.vectors = torch.randn(digits, size, 5, generator=generator, dtype=torch.float64)
        self.draft_scores = torch.randn(users, n_items + 1, generator=generator, dtype=torch.float64)
        self.seen = torch.rand(n_items + 1, generator=generator) < 0.6
        allowed = torch.rand(n_items + 1, generator=generator) < 0.8
        allowed[0], allowed[1] = False, True
        self.candidates = allowed.nonzero().squeeze(1)

    def score(self, user: int, item: int) -> float:
        """The mean over the digits, one by one."""
        digits = [float(self.log_probs[user, digit, code]) for digit, code in enumerate(self.codes[item].tolist())]
        return sum(digits) / len(digits)


@pytest.mark.parametrize("users", [1, 3, 70])
def test_the_gather_is_the_sum_digit_by_digit(users: int) -> None:
    world = World(users, users=users)
    of_all = parallel_likelihood.log_likelihood_of_all(world.log_probs, world.codes)
    items = torch.tensor([[5, -1, 7, 1]]).repeat(users, 1)
    of_some = parallel_likelihood.log_likelihood(world.log_probs, world.codes, items)
    assert of_all.shape == (users, 41)
    for user in range(users):
        expected = [world.score(user, item) for item in range(41)]
        assert of_all[user].tolist() == pytest.approx(expected, abs=1e-12)
        assert of_some[user].tolist() == pytest.approx([expected[5], -torch.inf, expected[7], expected[1]], abs=1e-12)


def exact(world: World, k: int, bonus: Tensor) -> list[list[float]]:
    lists = []
    for user in range(len(world.log_probs)):
        scores = [world.score(user, item) + float(bonus[item]) for item in world.candidates.tolist()]
        lists.append(sorted(scores, reverse=True)[:k])
    return lists


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("steps", [0, 2])
def test_the_graph_search_is_exact_when_its_beam_is_the_catalogue(seed: int, steps: int) -> None:
    world = World(seed)
    bonus = torch.where(world.seen, 0.0, 0.3).double()
    graph = graphs.ItemGraph.build(world.vectors, world.codes, world.candidates, edges=5)
    items, scores = graphs.graph_search(graph, world.log_probs, world.codes, bonus, 12, len(world.candidates), steps)
    for user, expected in enumerate(exact(world, 12, bonus)):
        assert scores[user].tolist() == pytest.approx(expected, abs=1e-12)
        own = [world.score(user, item) + float(bonus[item]) for item in items[user].tolist()]
        assert own == pytest.approx(expected, abs=1e-12)
        assert len(set(items[user].tolist())) == 12


@pytest.mark.parametrize("beam", [12, 100])
def test_the_graph_search_lists_equal_items_in_the_candidates_order(beam: int) -> None:
    world = World(3)
    codes = world.codes[:2].repeat(21, 1)[: len(world.codes)]  # two kinds of items, each of them all alike
    none = torch.zeros(len(codes), dtype=torch.float64)
    graph = graphs.ItemGraph.build(world.vectors, codes, world.candidates, edges=5)
    items, scores = graphs.graph_search(graph, world.log_probs, codes, none, 12, beam, steps=2)
    for user in range(len(items)):
        for score in set(scores[user].tolist()):
            equal = items[user][scores[user] == score].tolist()
            assert len(equal) > 1 and equal == sorted(equal)


def test_the_graph_ties_items_to_the_most_alike() -> None:
    world = World(1)
    graph = graphs.ItemGraph.build(world.vectors, world.codes, world.candidates, edges=4)
    unit = torch.nn.functional.normalize(world.vectors, dim=-1)
    whole = torch.stack([unit[digit, world.codes[world.candidates, digit]] for digit in range(6)], 1).flatten(1)
    alike = (whole @ whole.T / 6).fill_diagonal_(-2)
    torch.testing.assert_close(alike.gather(1, graph.neighbours), alike.topk(4, dim=1).values)


def test_a_small_beam_finds_some_and_a_list_longer_than_the_catalogue_ends() -> None:
    world = World(2)
    none = torch.zeros(41, dtype=torch.float64)
    graph = graphs.ItemGraph.build(world.vectors, world.codes, world.candidates, edges=3)
    items, scores = graphs.graph_search(graph, world.log_probs, world.codes, none, 3, 3, steps=2)
    assert (scores.diff(dim=1) <= 0).all() and torch.isin(items, world.candidates).all()
    items, scores = graphs.graph_search(graph, world.log_probs, world.codes, none, 60, 3, steps=1)
    assert items.shape == (3, 60) and ((items >= 0).sum(1) == len(world.candidates)).all()
    assert torch.equal(items < 0, scores == -torch.inf)


def oracle(world: World, user: int, k: int, choices: DraftVerifySettings) -> list[int]:
    """One round, as the paper tells it, then the verifier's own list."""
    weight = choices.drafter_weight

    def score(item: int) -> float:
        return world.score(user, item) + (0.0 if world.seen[item] else choices.unseen_bonus)

    could = [item for item in world.candidates.tolist() if choices.inductive_drafting or world.seen[item]]
    bonus = [0.0 if seen else choices.drafting_bonus for seen in world.seen.tolist()]
    by_drafter = {item: float(world.draft_scores[user, item]) + bonus[item] for item in could}
    lowest = min(by_drafter.values(), default=0.0)

    def key(item: int) -> float:
        return score(item) + (weight * by_drafter.get(item, lowest) if weight else 0.0)

    drafts = sorted(could, key=lambda item: -by_drafter[item])[: choices.draft_size]
    accepted = [item for item in drafts if score(item) > choices.accept_threshold]
    best = sorted(world.candidates.tolist(), key=lambda item: -score(item))[:k]
    filled = [item for item in best if item not in accepted][: max(0, k - len(accepted))]
    if choices.reranking:
        if choices.order == "unseen_in_place":
            as_drafted = sorted([*accepted, *filled], key=lambda item: -by_drafter.get(item, lowest))
            seen = iter(sorted((item for item in [*accepted, *filled] if world.seen[item]), key=key, reverse=True))
            return [next(seen) if world.seen[item] else item for item in as_drafted][:k]
        if choices.order == "accepted_first":
            return [*sorted(accepted, key=key, reverse=True), *sorted(filled, key=key, reverse=True)][:k]
        return sorted([*accepted, *filled], key=key, reverse=True)[:k]
    return [*accepted, *filled][:k]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 20),
    draft_size=st.integers(1, 40),
    threshold=st.sampled_from([-50.0, -1.6, -1.4, -1.2, 0.0]),
    bonus=st.sampled_from([0.0, 0.3]),
    drafting_bonus=st.sampled_from([0.0, 0.7]),
    weight=st.sampled_from([0.0, 0.5]),
    order=st.sampled_from(["merged", "accepted_first", "unseen_in_place"]),
    without=st.sampled_from([None, "inductive_drafting", "reranking", "adaptive_exit"]),
    users_leave=st.booleans(),
)
def test_draft_verify_gives_the_oracles_lists(
    seed, k, draft_size, threshold, bonus, drafting_bonus, weight, order, without, users_leave
) -> None:
    world = World(seed, digits=8)
    choices = DraftVerifySettings(
        draft_size=draft_size,
        accept_threshold=threshold,
        unseen_bonus=bonus,
        drafting_bonus=drafting_bonus,
        drafter_weight=weight,
        order=order,
        **({without: False} if without else {}),
    )

    def fresh() -> tuple[ParallelVerification, DraftPool]:
        for_verification = choices.for_verification(k)
        verification = ParallelVerification(
            world.log_probs, world.codes, world.candidates, world.seen, for_verification
        )
        pool = DraftPool.of_candidates(world.candidates, world.draft_scores).favouring(~world.seen, drafting_bonus)
        return verification, pool if choices.inductive_drafting else pool.without(~world.seen)

    result = draft_verify(*fresh(), k, choices, users_leave)
    result.check()
    read_off = all_rounds(*fresh(), DraftVerifySettings(draft_size=draft_size)).lists(k, choices)
    assert torch.equal(result.items, read_off)
    for user in range(len(world.log_probs)):
        expected = oracle(world, user, k, choices)
        got = result.items[user].tolist()
        keys = {item: round(world.score(user, item), 9) for item in world.candidates.tolist()}
        assert [keys.get(item) for item in got] == [keys[item] for item in expected] + [None] * (k - len(expected))


@pytest.mark.parametrize("chosen", [False, True])
def test_its_own_list_does_without_what_each_user_is_to_do_without(chosen: bool) -> None:
    world, n = World(0, digits=8), 6
    everything = DraftVerifySettings().for_verification(len(world.candidates))
    all_items, _ = ParallelVerification(world.log_probs, world.codes, world.candidates, world.seen, everything).best()
    left_out = torch.zeros(len(world.log_probs), 8, dtype=torch.long)
    for row in range(1, len(left_out)):
        left_out[row, : 2 * row] = all_items[row, : 2 * row]
    users = torch.arange(len(left_out)) % 2 == 0 if chosen else torch.ones(len(left_out), dtype=torch.bool)
    verification = ParallelVerification(
        world.log_probs, world.codes, world.candidates, world.seen, DraftVerifySettings().for_verification(n)
    ).without(left_out)
    found, scores = verification.select(users).best()
    for items, without, listed in zip(all_items[users].tolist(), left_out[users].tolist(), found.tolist(), strict=True):
        assert listed == [item for item in items if item not in without][:n]
    assert scores.isfinite().all()
    assert torch.equal(verification.restart(verification.settings).best()[0], all_items[:, :n])
