"""The decoding engine against the plain one-user oracles: identical lists for every setting."""

from __future__ import annotations

import decoding_oracles as oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_specgr.backbone import T5, T5Config
from recbole_specgr.decoding.beam_search import beam_search
from recbole_specgr.decoding.draft_verify import DraftVerifySettings, draft_verify
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


class World:
    """A random backbone, catalogue and batch of users, in float64 so that no near tie can hide a difference."""

    def __init__(self, seed: int, n_items: int = 60, digits: int = 4, codes: int = 5, users: int = 5) -> None:
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        distinct = torch.randperm(codes**digits, generator=generator)[:n_items]
        raw = torch.stack([distinct // codes**i % codes for i in range(digits)], dim=1)
        self.tokens = 1 + raw + codes * torch.arange(digits)
        self.tokens = torch.cat([torch.zeros(1, digits, dtype=torch.long), self.tokens])
        self.slices = [slice(1 + codes * i, 1 + codes * (i + 1)) for i in range(digits)]
        config = T5Config(
            vocab_size=codes * digits + 3, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_decoder_layers=2, num_heads=2
        )
        self.backbone = T5(config).double().eval()
        with torch.no_grad():  # sharp distributions, so that some items are accepted and some are not
            self.backbone.embedding.weight *= 3
        self.histories = torch.randint(1, config.vocab_size, (users, 9), generator=generator)
        self.histories[1, 3:] = 0
        self.draft_scores = torch.randn(users, len(self.tokens), generator=generator, dtype=torch.float64)
        self.seen = torch.rand(len(self.tokens), generator=generator) < 0.6
        self.subset = torch.rand(len(self.tokens), generator=generator) < 0.7
        self.users = [oracle.OneUser(self.backbone, history) for history in self.histories]


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k", "num_beams"), [(10, 3), (5, 10), (60, 60), (3, 500)])
def test_beam_search_gives_the_oracles_lists(seed: int, k: int, num_beams: int) -> None:
    world = World(seed)
    subset = None if seed % 2 else world.subset
    index = PrefixIndex(world.tokens, subset)
    items, scores = beam_search(
        world.backbone, world.backbone.memory(world.histories), index, world.slices, k, num_beams
    )
    for row, user in enumerate(world.users):
        expected = oracle.beam_search(user, world.tokens, index.items.tolist(), k, num_beams)
        assert items[row].tolist() == expected + [-1] * (k - len(expected))
        assert (scores[row] > float("-inf")).sum() == len(expected)


@torch.no_grad()
def test_as_many_beams_as_prefixes_rank_the_whole_catalogue() -> None:
    world = World(7)
    index = PrefixIndex(world.tokens)
    items, _ = beam_search(world.backbone, world.backbone.memory(world.histories), index, world.slices, 60, 60)
    for row, user in enumerate(world.users):
        score = {item: user.score(world.tokens[item].tolist(), 4) for item in range(1, len(world.tokens))}
        assert items[row].tolist() == sorted(score, key=lambda item: -score[item])


@torch.no_grad()
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    digits=st.integers(2, 5),
    n_items=st.integers(2, 30),
    whole=st.booleans(),
    k=st.integers(1, 40),
    draft_size=st.integers(1, 40),
    num_beams=st.integers(1, 40),
    threshold=st.sampled_from([-50.0, -3.0, -2.2, -1.7, -1.2, 0.0]),
    without=st.sampled_from(
        [None, "inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit"]
    ),
)
def test_draft_verify_gives_the_oracles_lists(
    seed, digits, n_items, whole, k, draft_size, num_beams, threshold, without
):
    codes = 6 if digits == 2 else 4
    world = World(seed, n_items=n_items, digits=digits, codes=codes, users=4)
    world.subset[1] = True  # never empty
    index = PrefixIndex(world.tokens, None if whole else world.subset)
    choices = {"draft_size": draft_size, "num_beams": num_beams, "threshold": threshold}
    if without:
        choices[without] = False
    result = draft_verify(
        world.backbone,
        world.backbone.memory(world.histories),
        index,
        world.slices,
        world.draft_scores,
        world.seen,
        k,
        DraftVerifySettings(**choices),
    )
    for row, user in enumerate(world.users):
        items, scores, rounds = oracle.draft_verify(
            user, world.tokens, index.items.tolist(), world.draft_scores[row], world.seen, k, **choices
        )
        assert result.items[row].tolist() == items + [-1] * (k - len(items))
        torch.testing.assert_close(
            result.scores[row, : len(items)], torch.tensor(scores, dtype=torch.float64), atol=1e-5, rtol=1e-5
        )
        assert result.rounds[row] == rounds
        assert (result.round_of[row] >= 0).sum() <= result.accepted[row].sum() <= result.drafted[row].sum()


@torch.no_grad()
def test_weights_that_are_nan_are_an_error_and_not_a_list() -> None:
    world = World(0)
    index, memory = PrefixIndex(world.tokens), world.backbone.memory(world.histories)
    with pytest.raises(ValueError, match="drafter's scores hold NaN"):
        draft_verify(
            world.backbone,
            memory,
            index,
            world.slices,
            world.draft_scores * float("nan"),
            world.seen,
            5,
            DraftVerifySettings(),
        )
    world.backbone.decoder_norm.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="probabilities are NaN"):
        beam_search(world.backbone, memory, index, world.slices, 5, 5)
    with pytest.raises(ValueError, match="probabilities are NaN"):
        draft_verify(
            world.backbone, memory, index, world.slices, world.draft_scores, world.seen, 5, DraftVerifySettings()
        )


def test_an_empty_subset_is_an_error() -> None:
    world = World(0)
    with pytest.raises(ValueError, match="candidate items is empty"):
        PrefixIndex(world.tokens, torch.zeros_like(world.subset))


@pytest.mark.parametrize("field", ["draft_size", "num_beams"])
def test_sizes_below_one_are_errors(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        DraftVerifySettings(**{field: 0})
