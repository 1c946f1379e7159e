"""The decoding engine against the plain one-user oracles: identical lists for every setting."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import decoding_oracles as oracle
import pytest
import torch
from decoding_worlds import ARCHITECTURES, DSIWorld, World
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recbole_specgr.decoding import token_verification
from recbole_specgr.decoding.all_rounds import all_rounds
from recbole_specgr.decoding.digit_scale import AS_TRAINED, NORMALIZERS, DigitScale
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify_settings import ORDERS, DraftVerifySettings
from recbole_specgr.decoding.left_out import alike_in_number
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.token_likelihood import log_likelihood
from recbole_specgr.decoding.token_verification import TokenVerification
from recbole_specgr.decoding.unseen_mix import append_unseen
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k", "num_beams"), [(10, 3), (5, 10), (60, 60), (3, 500)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_beam_search_gives_the_oracles_lists(seed: int, k: int, num_beams: int, architecture: str) -> None:
    world = World(seed, architecture=architecture)
    subset = None if seed % 2 else world.subset
    index = PrefixIndex(world.tokens, subset)
    result = world.beam_search(index, k, num_beams)
    for row, user in enumerate(world.users):
        expected = oracle.beam_search(user, world.tokens, index.items.tolist(), k, num_beams)
        assert result.items[row].tolist() == expected + [-1] * (k - len(expected))
        assert (result.scores[row] > float("-inf")).sum() == len(expected)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_left_out_takes_no_beam(seed: int, groups: int) -> None:
    """A user's search is that over the ids of the other items, be it two items or nearly all that are left out."""
    world = World(seed)
    index, left_out = PrefixIndex(world.tokens, world.subset), left_out_of(world, seed)
    found = world.beam_search(index, 12, 6, AS_TRAINED, groups, 0.5, left_out=left_out).items
    for row, without in enumerate(left_out):
        stays = world.subset.clone()
        stays[without] = False
        if not stays[1:].any():
            assert (found[row] == -1).all()
            continue
        alone = world.beam_search(PrefixIndex(world.tokens, stays), 12, 6, AS_TRAINED, groups, 0.5).items[row]
        assert found[row].tolist() == alone.tolist()
        if groups == 1:
            others = [item for item in index.items.tolist() if stays[item]]
            expected = oracle.beam_search(world.users[row], world.tokens, others, 12, 6)
            assert [item for item in alone.tolist() if item > 0] == expected


def left_out_of(world: World, seed: int) -> Tensor:
    """What each user of a world does without: nothing, some items, nearly all; the padding item, too, and things
    twice."""
    generator, left_out = torch.Generator().manual_seed(seed), torch.zeros(len(world.users), 64, dtype=torch.long)
    for row, n in zip(left_out, (0, 2, 20, 40, 59), strict=True):
        row[: 2 * n] = torch.randperm(len(world.tokens), generator=generator)[:n].repeat(2)[:64]
    return left_out


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("users_leave", [True, False])
@pytest.mark.parametrize("accept_threshold", [-1.2, -2.5])
def test_speculation_without_some_items_is_that_over_the_others(seed, users_leave, accept_threshold) -> None:
    """They are not drafted, do not guide, and do not fill up."""
    world, settings = World(seed), DraftVerifySettings(draft_size=6, num_beams=5, accept_threshold=accept_threshold)
    index, left_out = PrefixIndex(world.tokens, world.subset), left_out_of(world, seed)
    scores = world.draft_scores.scatter(1, left_out, -torch.inf)
    pool = DraftPool.of_candidates(index.items, scores)
    found = world.draft_verify(index, 10, settings, pool, users_leave, left_out)
    for row, without in enumerate(left_out):
        stays = world.subset.clone()
        stays[without] = False
        if stays[1:].any():
            alone = world.draft_verify(PrefixIndex(world.tokens, stays), 10, settings, users_leave=users_leave)
            for name in ("items", "rounds", "drafted", "accepted", "round_of"):
                assert getattr(found, name)[row].tolist() == getattr(alone, name)[row].tolist(), name
            torch.testing.assert_close(found.scores[row], alone.scores[row])
        else:
            assert (found.items[row] == -1).all()


@torch.no_grad()
@pytest.mark.parametrize("users_leave", [True, False])
def test_where_nobody_has_anything_left_the_lists_are_empty(users_leave) -> None:
    world, settings = World(1), DraftVerifySettings(draft_size=4, num_beams=3)
    subset = torch.zeros_like(world.subset)
    subset[[3, 5, 9]] = True
    index, left_out = PrefixIndex(world.tokens, subset), torch.tensor([[9, 3, 5, 0]] * len(world.users))
    pool = DraftPool.of_candidates(index.items, world.draft_scores.scatter(1, left_out, -torch.inf))
    assert (world.draft_verify(index, 2, settings, pool, users_leave, left_out).items == -1).all()
    assert (world.beam_search(index, 2, 3, left_out=left_out).items == -1).all()


def test_users_stand_together_whose_items_to_do_without_are_about_as_many() -> None:
    numbers = [0, 1, 2, 3, 4, 5, 8, 9, 0, 3]
    left_out = torch.stack([torch.arange(1, 17).where(torch.arange(16) < n, 0) for n in numbers])
    found = {size: rows.tolist() for rows, size in alike_in_number(left_out[:, torch.randperm(16)])}
    assert found == {0: [0, 8], 1: [1], 2: [2], 4: [3, 4, 9], 8: [5, 6], 16: [7]}


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
def test_the_normaliser_is_the_one_that_was_chosen(seed: int) -> None:
    world = World(seed)
    index = PrefixIndex(world.tokens, world.subset)
    share = {"full": None, "level": world.slices, "trie": [slice(0, 0)] * len(world.slices)}
    lists = {}
    for name, levels in share.items():
        result = world.beam_search(index, 10, 4, DigitScale(name))
        lists[name] = result.scores[:, 0]
        for row, user in enumerate(world.users):
            expected = oracle.beam_search(user, world.tokens, index.items.tolist(), 10, 4, levels)
            assert [item for item in result.items[row].tolist() if item > 0] == expected
    assert (lists["full"] < lists["level"]).all() and (lists["level"] < lists["trie"]).all()
    with pytest.raises(ValueError, match=r"\[leve\]"):
        DigitScale("leve")


@torch.no_grad()
@pytest.mark.parametrize("scale", [DigitScale(name, heat) for name in NORMALIZERS for heat in (1.0, 0.5, 2.0)])
@pytest.mark.parametrize("together", [True, False])
def test_the_score_of_a_given_item_is_that_of_the_search(scale: DigitScale, together: bool) -> None:
    """With a beam for each prefix the search knows the score of every item."""
    world = World(5)
    index = PrefixIndex(world.tokens, world.subset)
    found = world.beam_search(index, index.size, 500, scale)
    prefixes = PrefixStore(world.backbone, world.memory, index, world.slices, index.size, scale=scale)
    digits = torch.full((len(world.tokens),), len(world.slices))
    means = log_likelihood(prefixes, found.items, digits, torch.zeros(len(digits)), together=together)
    assert (found.items > 0).all()
    torch.testing.assert_close(means * len(world.slices), found.scores, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_as_many_beams_as_prefixes_rank_the_whole_catalogue() -> None:
    world = World(7)
    items = world.beam_search(PrefixIndex(world.tokens), 60, 60).items
    for row, user in enumerate(world.users):
        score = {item: user.score(world.tokens[item].tolist(), 4) for item in range(1, len(world.tokens))}
        assert items[row].tolist() == sorted(score, key=lambda item: -score[item])


@torch.no_grad()
@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    architecture=st.sampled_from(ARCHITECTURES),
    digits=st.integers(2, 5),
    n_items=st.integers(2, 30),
    whole=st.booleans(),
    k=st.integers(1, 40),
    draft_size=st.integers(1, 40),
    num_beams=st.integers(1, 40),
    accept_threshold=st.sampled_from([-50.0, -3.0, -2.2, -1.7, -1.2, 0.0]),
    without=st.sampled_from(
        [None, "inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit"]
    ),
    users_leave=st.booleans(),
    pool=st.sampled_from([None, 3, 12]),
)
def test_draft_verify_gives_the_oracles_lists(
    seed, architecture, digits, n_items, whole, k, draft_size, num_beams, accept_threshold, without, users_leave, pool
):
    codes = 6 if digits == 2 else 4
    world = World(seed, n_items=n_items, digits=digits, codes=codes, users=4, architecture=architecture)
    world.subset[1] = True  # never empty
    index = PrefixIndex(world.tokens, None if whole else world.subset)
    choices = {"draft_size": draft_size, "num_beams": num_beams, "accept_threshold": accept_threshold}
    if without:
        choices[without] = False
    verify_against_oracle(world, index, k, users_leave, pool, **choices)


def verify_against_oracle(
    world: World, index: PrefixIndex, k: int, users_leave: bool = True, pool: int | None = None, **choices
) -> None:
    results = []
    for together in (0, 10**9):  # digit by digit, and all digits at once
        drafted_from = None
        if pool:  # as many of the best candidates, in one more place than there are
            allowed = index.items[world.draft_scores[:, index.items].topk(min(pool, index.size), dim=1).indices]
            nearest = torch.nn.functional.pad(allowed, (1, 0), value=-1)
            scores = world.draft_scores.gather(1, nearest.clamp(min=0))
            drafted_from = DraftPool.of_nearest(index.items, nearest, scores)
        with mock.patch.object(token_verification, "TOGETHER", together):
            results.append(world.draft_verify(index, k, DraftVerifySettings(**choices), drafted_from, users_leave))
    for row, user in enumerate(world.users):
        from_items = allowed[row].tolist() if pool else None
        items, scores, rounds = oracle.draft_verify(
            user,
            world.tokens,
            index.items.tolist(),
            world.draft_scores[row],
            world.seen,
            k,
            drafted_from=from_items,
            **choices,
        )
        expected = torch.tensor(scores, dtype=torch.float64)
        for result in results:
            assert result.items[row].tolist() == items + [-1] * (k - len(items))
            torch.testing.assert_close(result.scores[row, : len(items)], expected, atol=1e-5, rtol=1e-5)
            assert result.rounds[row] == rounds
            assert (result.round_of[row] >= 0).sum() <= result.accepted[row].sum() <= result.drafted[row].sum()


@torch.no_grad()
@pytest.mark.parametrize("static", [False, True])
def test_more_beams_than_prefixes_let_every_item_be_drafted(static: bool) -> None:
    """Where each prefix is a beam, items below the first one may be drafted again like all others."""
    world = World(3, n_items=9, digits=3, codes=3)
    index = PrefixIndex(world.tokens)
    prefixes = PrefixStore(world.backbone, world.memory, index, world.slices, 10, static=static)
    asked = DraftVerifySettings(num_beams=40).for_verification(5)
    verification = TokenVerification(prefixes, world.seen, asked)
    for items in (index.items[None], index.items.expand(len(world.histories), -1)):
        assert verification.may_be_drafted(items) is None
        for _ in range(2):
            verification.step()
            assert verification.may_be_drafted(items).all()
        verification = verification.restart(asked)


@torch.no_grad()
@pytest.mark.parametrize("digits", [6, 7, 8])
@pytest.mark.parametrize("accept_threshold", [-50.0, -2.0, -1.3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_long_ids_give_the_oracles_lists(digits: int, accept_threshold: float, architecture: str) -> None:
    world = World(digits, n_items=30, digits=digits, codes=3, users=3, architecture=architecture)
    index = PrefixIndex(world.tokens, world.subset)
    verify_against_oracle(world, index, 12, draft_size=7, num_beams=9, accept_threshold=accept_threshold)
    items = world.beam_search(index, 12, 9).items
    for row, user in enumerate(world.users):
        assert [item for item in items[row].tolist() if item > 0] == oracle.beam_search(
            user, world.tokens, index.items.tolist(), 12, 9
        )


@torch.no_grad()
@pytest.mark.parametrize("levels", [1, 3, 5, 7])
@pytest.mark.parametrize("branching", [None, 3])
@pytest.mark.parametrize("accept_threshold", [-50.0, -1.6, -1.0])
def test_ids_of_hierarchical_k_means_give_the_oracles_lists(
    levels: int, branching: int, accept_threshold: float
) -> None:
    world = DSIWorld(levels, levels, branching)
    index = PrefixIndex(world.tokens)
    verify_against_oracle(world, index, 15, draft_size=8, num_beams=10, accept_threshold=accept_threshold)


@torch.no_grad()
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    digits=st.integers(2, 4),
    n_items=st.integers(2, 30),
    k=st.integers(1, 40),
    sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3),
    without=st.sampled_from(
        [None, "inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit"]
    ),
    drafting_bonus=st.sampled_from([0.0, 0.5]),
    order=st.sampled_from(ORDERS),
)
def test_all_rounds_hold_the_lists_of_every_threshold(
    seed, digits, n_items, k, sizes, without, drafting_bonus, order
) -> None:
    world = World(seed, n_items=n_items, digits=digits, codes=6 if digits == 2 else 4, users=4)
    index = PrefixIndex(world.tokens)
    prefixes = PrefixStore(world.backbone, world.memory, index, world.slices, 10)
    for draft_size, num_beams in sizes:
        asked = {"drafting_bonus": drafting_bonus, "order": order, **({without: False} if without else {})}
        choices = DraftVerifySettings(draft_size, num_beams, **asked)
        verification = TokenVerification(prefixes, world.seen, choices.for_verification(k))
        pool = DraftPool.of_candidates(index.items, world.draft_scores).favouring(~world.seen, drafting_bonus)
        if not choices.inductive_drafting:
            pool = pool.without(~world.seen)
        with mock.patch.object(token_verification, "TOGETHER", seed % 2 * 10**9):
            rounds = all_rounds(verification, pool, choices)
        for threshold in (-50.0, -3.0, -2.2, -1.7, -1.2, 0.0):
            choices = replace(choices, accept_threshold=threshold)
            expected = world.draft_verify(index, k, choices)
            assert torch.equal(rounds.lists(k, choices), expected.items)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    digits=st.integers(2, 4),
    n_items=st.integers(2, 40),
    k=st.integers(1, 20),
    generated=st.integers(0, 20),
    most=st.integers(0, 20),
    n_left_out=st.integers(0, 12),
)
def test_unseen_items_below_generated_prefixes_end_the_list(
    seed, digits, n_items, k, generated, most, n_left_out
) -> None:
    generator = torch.Generator().manual_seed(seed)
    codes, most = 7, min(most, k)
    distinct = torch.randperm(min(codes**digits, 60), generator=generator)[:n_items]
    tokens = torch.stack([distinct // codes**i % codes for i in reversed(range(digits))], dim=1)
    tokens = torch.cat([torch.zeros(1, digits, dtype=torch.long), 1 + tokens])
    unseen = torch.rand(len(tokens), generator=generator) < 0.5
    subset = torch.rand(len(tokens), generator=generator) < 0.8
    subset[1] = True
    index = PrefixIndex(tokens, subset)
    lists, left_out = torch.full((6, k), -1), torch.zeros(6, n_left_out + 1, dtype=torch.long)
    for row, without in zip(lists, left_out, strict=True):
        drawn = index.items[torch.randperm(index.size, generator=generator)]
        found, rest = drawn[: min(generated, k)], drawn[min(generated, k) :][:n_left_out]
        row[: len(found)], without[: len(rest)] = found, rest
    items = index.items.tolist()
    expected = [
        oracle.tiger_c(row.tolist(), tokens, items, unseen, most, without.tolist())
        for row, without in zip(lists, left_out, strict=True)
    ]
    assert append_unseen(lists, index, unseen, most, left_out).tolist() == expected


@torch.no_grad()
@pytest.mark.parametrize(("architecture", "last_norm"), list(zip(ARCHITECTURES, ("decoder_norm", "norm"))))
def test_weights_that_are_nan_are_an_error_and_not_a_list(architecture: str, last_norm: str) -> None:
    world = World(0, architecture=architecture)
    index, draft_scores = PrefixIndex(world.tokens), world.draft_scores
    for users_leave in (True, False):
        world.draft_scores = draft_scores * float("nan")
        with pytest.raises(ValueError, match="drafter's scores hold NaN"):
            world.draft_verify(index, 5, DraftVerifySettings(), users_leave=users_leave)
    world.draft_scores = draft_scores
    world.backbone.get_submodule(last_norm).weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="probabilities are NaN"):
        world.beam_search(index, 5, 5)
    for users_leave in (True, False):
        with pytest.raises(ValueError, match="probabilities are NaN"):
            world.draft_verify(index, 5, DraftVerifySettings(), users_leave=users_leave)


def test_an_empty_subset_is_an_error() -> None:
    world = World(0)
    with pytest.raises(ValueError, match="candidate items is empty"):
        PrefixIndex(world.tokens, torch.zeros_like(world.subset))


@pytest.mark.parametrize("field", ["draft_size", "num_beams"])
def test_sizes_below_one_are_errors(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        DraftVerifySettings(**{field: 0})
