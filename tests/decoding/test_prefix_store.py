"""Prefixes that are placed once and looked up, and what a drafter may still draft, against loops."""

from __future__ import annotations

import pytest
import torch
from decoding_worlds import ARCHITECTURES, World
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_specgr.decoding.draft_pool import DraftPool, _keys, best_places
from recbole_specgr.decoding.prefix_store import PrefixStore, numbered
from recbole_specgr.decoding.token_likelihood import log_likelihood
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_missing_nodes_are_numbered_from_left_to_right_and_equal_ones_alike(row: list[tuple[int, bool]]) -> None:
    row = sorted(row, key=lambda pair: pair[0])  # equal ones side by side
    nodes = torch.tensor([[node for node, _ in row]])
    missing = torch.tensor([[is_missing for _, is_missing in row]])
    number, first = numbered(nodes, missing)
    known: dict[int, int] = {}
    for place, (node, is_missing) in enumerate(row):
        if is_missing:
            assert bool(first[0, place]) == (node not in known)
            assert number[0, place] == known.setdefault(node, len(known))
        else:
            assert not first[0, place]


class CountsNodes:
    """A backbone that counts the nodes that go through its decoder."""

    def __init__(self, backbone) -> None:
        self.backbone, self.nodes, self.calls = backbone, 0, 0

    def extend(self, memory, tree, new):
        self.calls += 1
        self.nodes += sum(len(memory.bias) * part.tokens.size(1) for part in new)
        return self.backbone.extend(memory, tree, new)


@torch.no_grad()
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_was_looked_up_is_not_computed_again(together: bool, static: bool, architecture: str) -> None:
    world = World(3, architecture=architecture)
    index = PrefixIndex(world.tokens)
    backbone = CountsNodes(world.backbone)
    prefixes = PrefixStore(backbone, world.memory, index, world.slices, 10, static)
    items = torch.tensor([[4, 9, -1, 30, 9]]).repeat(5, 1)
    lengths, bonus = torch.where(world.seen, 4, 3), torch.where(world.seen, 0.0, 0.5).double()
    scores = log_likelihood(prefixes, items, lengths, bonus, together=together)
    for row, user in enumerate(world.users):
        for column, item in enumerate(items[row].tolist()):
            if item < 0:
                assert scores[row, column] == -torch.inf
                continue
            expected = user.score(world.tokens[item].tolist(), int(lengths[item])) + float(bonus[item])
            assert float(scores[row, column]) == pytest.approx(expected, abs=1e-7)  # rotary angles are float32
    assert backbone.calls == (1 if together else 4)
    before = backbone.nodes
    again = log_likelihood(prefixes, items.flip(1), lengths, bonus, together=together)
    torch.testing.assert_close(again, scores.flip(1))
    assert static or backbone.nodes == before


def test_a_pool_gives_out_every_item_once_and_knows_its_scores() -> None:
    items = torch.tensor([[5, 2, -1], [7, 3, 9]])
    scores = torch.tensor([[0.1, 0.4, 9.0], [-torch.inf, 0.2, 0.3]])
    pool = DraftPool.of_nearest(torch.tensor([8, 2, 3]), items, scores)
    assert pool.draft(1, None).tolist() == [[2], [9]]
    assert pool.draft(2, None).tolist() == [[5, -1], [3, -1]]
    assert pool.draft(2, None).tolist() == [[-1, -1], [-1, -1]]
    asked = torch.tensor([[2, 6, 5], [9, 7, 3]])
    torch.testing.assert_close(pool.scores_of(asked), torch.tensor([[0.4, 0.1, 0.1], [0.3, 0.2, 0.2]]))


def test_an_empty_place_hides_no_item_of_a_pool() -> None:
    pool = DraftPool.of_nearest(
        torch.tensor([2, 5]), torch.tensor([[-1, -1, 2, 5]] * 2), torch.tensor([[9.0, 9.0, 0.4, 0.1]] * 2)
    )
    asked = torch.tensor([[2, 5, -1]])
    torch.testing.assert_close(pool.scores_of(asked.expand(2, -1)), torch.tensor([[0.4, 0.1, 0.1]] * 2))
    one = pool.select(torch.tensor([True, False]))
    torch.testing.assert_close(one.scores_of(asked), torch.tensor([[0.4, 0.1, 0.1]]))


def test_a_bonus_is_for_some_items_and_leaves_what_may_not_be_drafted_out() -> None:
    items, scores = torch.tensor([[5, 2, -1], [7, 3, 9]]), torch.tensor([[0.1, 0.4, 9.0], [-torch.inf, 0.2, 0.3]])
    new = torch.isin(torch.arange(10), torch.tensor([5, 7]))
    pool = DraftPool.of_nearest(torch.tensor([8, 2, 3]), items, scores).favouring(new, 1.0)
    torch.testing.assert_close(pool.scores_of(torch.tensor([[2, 5], [3, 7]])), torch.tensor([[0.4, 1.1], [0.2, 0.2]]))
    assert pool.draft(3, None).tolist() == [[5, 2, -1], [9, 3, -1]]


def test_only_what_may_be_drafted_is_drafted() -> None:
    pool = DraftPool.of_candidates(torch.tensor([1, 3, 2]), torch.tensor([[9.0, 0.1, 0.2, 0.3]]))
    assert pool.draft(2, torch.tensor([[True, False, True]])).tolist() == [[2, 1]]
    seen = torch.tensor([False, True, False, True])
    assert DraftPool.of_candidates(torch.tensor([1, 3, 2]), torch.ones(1, 4)).without(~seen).draft(3, None)[0, -1] == -1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equal_scores_the_smaller_item_is_drafted_first(dtype):
    """Be the items in whatever order, be the tie within the list or over its end; on a CPU and on a GPU alike."""
    generator = torch.Generator().manual_seed(0)
    for size in (1, 3, 7, 12, 20):
        scores = torch.randint(-2, 3, (40, 12), generator=generator).to(dtype) / 2
        scores[scores == -1] = -torch.inf
        scores[:, 3] *= -1.0  # zeros of both signs
        items = torch.stack([torch.randperm(30, generator=generator)[:12] + 1 for _ in scores])
        rows = zip(scores.tolist(), items.tolist(), strict=True)
        expected = [sorted((-score, item) for score, item in zip(*row, strict=True))[:size] for row in rows]
        places = best_places(scores, items, size), _keys(scores, items).topk(min(size, 12), dim=1).indices
        for found in places:
            there = scores.gather(1, found) > -torch.inf
            assert [[item for score, item in row if score < torch.inf] for row in expected] == [
                [item for item, is_there in zip(row, exists, strict=True) if is_there]
                for row, exists in zip(items.gather(1, found).tolist(), there.tolist(), strict=True)
            ]
