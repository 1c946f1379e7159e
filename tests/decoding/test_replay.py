"""Decoding that a GPU can record: it reads nothing on the host, and a recording gives what a run gives."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from decoding_worlds import ARCHITECTURES, World
from operation_recorder import record_operations
from torch import Tensor, nn

from recbole_specgr.decoding.beam_search import beam_search
from recbole_specgr.decoding.draft_pool import DraftPool
from recbole_specgr.decoding.draft_verify import draft_verify
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings
from recbole_specgr.decoding.prefix_store import PrefixStore
from recbole_specgr.decoding.replay import Replay
from recbole_specgr.decoding.token_verification import TokenVerification
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex

SWITCHES = (None, "inductive_drafting", "score_adjustment", "guided_redrafting", "reranking", "adaptive_exit")
IN_PLACE = {"drafting_bonus": 0.5, "drafter_weight": 0.3, "order": "unseen_in_place"}


def on_meta(index: PrefixIndex) -> PrefixIndex:
    """The index on the device that has shapes but no values."""
    moved = copy.copy(index)
    moved.items = index.items.to("meta")
    moved.levels = [
        replace(
            level,
            **{
                field.name: value.to("meta")
                for field in fields(level)
                if isinstance(value := getattr(level, field.name), Tensor)
            },
        )
        for level in index.levels
    ]
    return moved


def runs_of(world: World, index: PrefixIndex, settings: DraftVerifySettings, k: int, users_leave: bool = False):
    """Beam search and draft-verify as functions of tensors, as `Verifier.run_decoding` has them recorded."""

    def beams(tokens: Tensor, encoded: Tensor) -> tuple[Tensor, ...]:
        result = beam_search(world.backbone, world.backbone.memory(tokens, encoded), index, world.slices, k, 6)
        return result.items, result.scores, result.is_nan

    def speculation(tokens: Tensor, encoded: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        memory = world.backbone.memory(tokens, encoded)
        prefixes = PrefixStore(world.backbone, memory, index, world.slices, 14, static=not users_leave)
        verification = TokenVerification(prefixes, world.seen, settings.for_verification(k))
        pool = DraftPool.of_candidates(index.items, scores).favouring(~world.seen, settings.drafting_bonus)
        if not settings.inductive_drafting:
            pool = pool.without(~world.seen)
        result = draft_verify(verification, pool, k, settings, users_leave)
        return tuple(getattr(result, field.name) for field in fields(result))

    return beams, speculation


@torch.no_grad()
@pytest.mark.parametrize(("without", "beyond"), [*((switch, {}) for switch in SWITCHES), (None, IN_PLACE)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_is_read_back_from_the_device(
    without: str | None, architecture: str, beyond: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # knows no such device
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)
    world = World(1, architecture=architecture)
    world.backbone.float()
    index = on_meta(PrefixIndex(world.tokens, world.subset))
    world.backbone.to("meta")
    world.seen = world.seen.to("meta")
    settings = DraftVerifySettings(8, 6, -1.7, **beyond, **({without: False} if without else {}))
    tokens, scores = world.histories.to("meta"), world.draft_scores.float().to("meta")
    encoded = world.backbone.encode(tokens)
    beams, speculation = runs_of(world, index, settings, 10)
    assert beams(tokens, encoded)[0].shape == speculation(tokens, encoded, scores)[0].shape == (5, 10)
    _, where_users_leave = runs_of(world, index, settings, 10, users_leave=True)
    with pytest.raises(RuntimeError, match="meta"):  # the device notices a host that looks at a value
        where_users_leave(tokens, encoded, scores)


@torch.no_grad()
@pytest.mark.parametrize(
    ("without", "threshold", "beyond"),
    [*((switch, -1.7, {}) for switch in SWITCHES), (None, -50.0, {}), (None, 0.0, {}), (None, -1.7, IN_PLACE)],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_recording_gives_the_lists_of_other_users(
    without: str | None, threshold: float, architecture: str, beyond: dict[str, Any]
) -> None:
    world, others = (World(seed, architecture=architecture) for seed in (2, 3))
    index = PrefixIndex(world.tokens, world.subset)
    settings = DraftVerifySettings(8, 6, threshold, **beyond, **({without: False} if without else {}))
    replay = Replay(record_operations)
    beams, speculation = runs_of(world, index, settings, 10)
    _, where_users_leave = runs_of(world, index, settings, 10, users_leave=True)
    for histories, scores in (
        (world.histories, world.draft_scores),
        (world.histories, world.draft_scores),
        (others.histories, others.draft_scores),
        (world.histories.flip(0), others.draft_scores),
    ):
        inputs = (histories, world.backbone.encode(histories))
        for name, run, given in (("beams", beams, inputs), ("speculation", speculation, (*inputs, scores))):
            replayed = replay(run, world.backbone, (name, index, settings), given)
            for ours, expected in zip(replayed, run(*given), strict=True):
                torch.testing.assert_close(ours, expected)
        assert torch.equal(replayed[0], where_users_leave(*inputs, scores)[0])  # as on a CPU
    assert [recording is not None for recording, _ in replay.recordings.values()] == [True, True]


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x * self.factor,)


class CountsRecordings:
    """A recorder whose recordings give what their inputs were when they were made: any use of a wrong one shows."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, run, inputs: Sequence[Tensor]):
        self.made += 1
        weights_then = run(*inputs)
        return lambda *inputs: weights_then


def test_what_comes_once_is_not_recorded_and_what_differs_is_told_apart() -> None:
    record, scale = CountsRecordings(), Scale()
    replay, table = Replay(record), torch.ones(3)

    def call(x: Tensor, constants=("a",)) -> Tensor:
        return replay(scale, scale, constants, (x,))[0]

    assert call(torch.ones(2)).tolist() == [2, 2] and record.made == 0
    assert call(torch.ones(2)).tolist() == [2, 2] and record.made == 1
    assert call(torch.zeros(2)).tolist() == [2, 2] and record.made == 1  # this recorder's recordings are constant
    for x, constants in (
        (torch.zeros(3), ("a",)),  # another shape
        (torch.zeros(2, dtype=torch.float64), ("a",)),  # another type
        (torch.zeros(2), ("b",)),  # another constant
        (torch.zeros(2), ("a", table)),  # further ones
        (torch.zeros(2), ("a", table.clone())),  # the same values in another place
    ):
        assert not call(x, constants).any() and record.made == 1
    scale.factor.mul_(2)  # in its place, as an optimiser does: a graph reads it there
    assert call(torch.zeros(2)).tolist() == [2, 2]
    scale.factor = nn.Parameter(torch.tensor(5.0), requires_grad=False)  # elsewhere
    assert call(torch.ones(2)).tolist() == [5, 5] and record.made == 1


def test_the_recording_that_was_not_used_for_longest_goes() -> None:
    record, scale = CountsRecordings(), Scale()
    replay = Replay(record, most=2)
    for size in (1, 1, 2, 2, 1, 3, 1, 2):
        replay(scale, scale, (), (torch.zeros(size),))
    assert [shapes[-1][0] for shapes in replay.recordings] == [(1,), (2,)]
    assert record.made == 2  # 3 put out 2, which has to come twice again
