"""Windows of histories against brute force over rows, and what the trainer guarantees of both."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_cases import MeanOfHistory, equal

from recbole_specgr.models.learned_positions import learned_positions
from recbole_specgr.runs.comparison import alike
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import LAST
from recbole_specgr.training.batch import TrainingBatch
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.window_loader import WindowLoader
from recbole_specgr.training.windows import Windows

SMALL = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "MAX_ITEM_LIST_LENGTH": 5, "text_dim": 8}
MODELS = {"UniSRec": {"n_experts": 2}, "SASRec_T": {}, "TextSASRec": {"map_size": 8}}
DROPOUT = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}


def view_of(users: list[list[bool]], width: int) -> SimpleNamespace:
    """What `Windows` reads of a train view.

    Args:
        users: of each user, whether each interaction after the first is a target.
    """
    sizes = [len(targets) + 1 for targets in users]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = np.flatnonzero([target for targets in users for target in (False, *targets)])
    rows = rows[::-1].copy()  # a view's rows may have any order
    places = np.arange(len(starts))
    return SimpleNamespace(
        max_item_list_len=width,
        interactions=(starts + 1, places + 1, places),  # an item's id is its place plus 1
        rows=torch.from_numpy(rows),
        starts=torch.from_numpy(starts[rows]),
        uid_field="user_id",
        iid_field="item_id",
        item_id_list_field="item_id_list",
        item_list_length_field="item_length",
        time_list_field="timestamp_list",
    )


def rows_by_brute_force(view: SimpleNamespace) -> dict[int, list[int]]:
    """Target -> its whole history."""
    _, items, _ = view.interactions
    return {int(items[row]): items[start:row].tolist() for row, start in zip(view.rows.tolist(), view.starts.tolist())}


def learned(batch) -> list[tuple[int, list[int]]]:
    """Every target of a batch of windows with the history that it is learned from."""
    found = []
    for items, length, targets in zip(batch["item_id_list"], batch["item_length"].tolist(), batch["item_id"]):
        assert (items[:length] > 0).all() and not items[length:].any() and not targets[length:].any()
        found += [(int(targets[at]), items[: at + 1].tolist()) for at in targets.nonzero().squeeze(1).tolist()]
    return found


users_of = st.lists(st.lists(st.booleans(), max_size=30), min_size=1, max_size=6).filter(
    lambda users: any(map(any, users))
)


@settings(max_examples=200, deadline=None)
@given(users=users_of, width=st.integers(2, 9))
def test_windows_learn_what_rows_learn(users, width):
    view = view_of(users, width)
    windows = Windows(view)
    whole = rows_by_brute_force(view)
    found = learned(windows[torch.arange(len(windows))])
    assert Counter(target for target, _ in found) == Counter(whole.keys()), "every target exactly once"
    for target, history in found:
        full = whole[target]
        assert history == full[-len(history) :] and len(history) <= width
        assert len(history) >= min(len(full), -(-width // 2)), (
            "half a window of what came before, where there is so much"
        )
        if len(full) <= width:
            assert len(history) == len(full), "what a window can hold is not cut"
    assert (windows.targets > 0).all() and int(windows.targets.sum()) == len(found)


def test_the_rule_by_an_example():
    windows = Windows(view_of([[True] * 11], width=4))
    assert [learned(windows[torch.tensor([number])]) for number in range(len(windows))] == [
        [(2, [1]), (3, [1, 2]), (4, [1, 2, 3]), (5, [1, 2, 3, 4])],
        [(6, [4, 5]), (7, [4, 5, 6]), (8, [4, 5, 6, 7])],
        [(9, [7, 8]), (10, [7, 8, 9]), (11, [7, 8, 9, 10])],
        [(12, [8, 9, 10, 11])],
    ]


@settings(max_examples=60, deadline=None)
@given(
    users=users_of, width=st.integers(2, 9), size=st.integers(1, 40), seed=st.integers(0, 9), epoch=st.integers(0, 3)
)
def test_an_epoch_has_every_window_once_in_batches_of_like_lengths(users, width, size, seed, epoch):
    windows = Windows(view_of(users, width))
    loader = WindowLoader(windows, size, seed)
    loader.set_epoch(epoch)
    batches = list(loader.index_batches())
    assert sorted(torch.cat(batches).tolist()) == list(range(len(windows)))
    assert len(batches) == len(loader) <= -(-int(windows.targets.sum()) // size)
    assert all(int(windows.targets[batch].sum()) < size + int(windows.targets.max()) for batch in batches)
    reach = sorted((int(windows.length[batch].min()), int(windows.length[batch].max())) for batch in batches)
    assert all(longest <= shortest for (_, longest), (shortest, _) in pairwise(reach))
    again = WindowLoader(windows, size, seed)
    again.set_epoch(epoch)
    assert all(torch.equal(one, two) for one, two in zip(batches, again.index_batches(), strict=True))


def many_windows() -> Windows:
    return Windows(view_of([[True] * (user % 13 + 1) for user in range(60)], width=6))


def test_the_order_is_new_with_seed_and_epoch():
    def order(seed, epoch):
        loader = WindowLoader(many_windows(), 30, seed)
        loader.set_epoch(epoch)
        return tuple(torch.cat(list(loader.index_batches())).tolist())

    assert len({order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_processes_share_each_batch_and_its_middle_can_be_gone_on_with():
    whole = list(WindowLoader(many_windows(), 30, 3).batches_from(0))
    halves = [list(WindowLoader(many_windows(), 30, 3, rank, 2).batches_from(0)) for rank in (0, 1)]
    for batch, *shares in zip(whole, *halves, strict=True):
        assert sorted(learned(batch.interaction)) == sorted(pair for own in shares for pair in learned(own.interaction))
        assert batch.total == len(learned(batch.interaction)) == int(batch.targets.sum())
        assert all(own.total == batch.total for own in shares)
        parts = list(batch.in_parts(3))
        assert [len(learned(part)) for part, _ in parts] == [targets for _, targets in parts]
    rest = list(WindowLoader(many_windows(), 30, 3).batches_from(2))
    assert all(learned(one.interaction) == learned(two.interaction) for one, two in zip(whole[2:], rest, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_the_loss_of_windows_is_that_of_rows(prepare, model):
    """The same targets with the same histories: a window's loss is the mean of its rows'."""
    trainer, train, *_ = prepare(model, **SMALL, **MODELS[model])
    network, view = trainer.model.double().eval(), train._dataset
    windows = Windows(view)
    batch = windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))[:20]]
    pairs = learned(batch)
    assert len(pairs) > 40 and len({len(history) for _, history in pairs}) == SMALL["MAX_ITEM_LIST_LENGTH"]
    rows = view[torch.zeros(len(pairs), dtype=torch.long)]
    rows["item_id"] = torch.tensor([target for target, _ in pairs])
    rows["item_length"] = torch.tensor([len(history) for _, history in pairs])
    rows["item_id_list"] = torch.tensor([history + [0] * (5 - len(history)) for _, history in pairs])
    torch.testing.assert_close(network.calculate_loss(batch), network.calculate_loss(rows), rtol=1e-12, atol=0)


class Interrupted:
    """Raises what Ctrl-C raises in the given call of the loss."""

    def __init__(self, model, fail_at):
        self.loss, self.calls, self.fail_at = model.calculate_loss, 0, fail_at

    def __call__(self, interaction):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        return self.loss(interaction)


def test_training_on_windows_goes_on_as_if_it_was_not_interrupted(prepare):
    more = {**SMALL, **MODELS["TextSASRec"], "train_batch_size": 40, "checkpoint_steps": 2}
    whole, train, valid, _ = prepare("TextSASRec", "whole", **more)
    expected = whole.fit(train, valid)
    steps = len(whole._loader(train, {}))
    broken, train, valid, _ = prepare("TextSASRec", "broken", **more)
    broken.model.calculate_loss = Interrupted(broken.model, steps + 4)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(train, valid)
    again, train, valid, _ = prepare("TextSASRec", "broken", **more)
    again.resume_checkpoint(again.run_dir / LAST)
    again.model.calculate_loss = Interrupted(again.model, None)
    assert again.fit(train, valid) == expected and equal(whole.model, again.model)
    assert again.model.calculate_loss.calls == 2 * steps - 2
    assert whole.progress["train"].rows == 3 * len(train._dataset), "progress counts targets"


def test_a_batch_of_windows_in_parts_is_the_same_step(prepare):
    more = {**SMALL, **MODELS["TextSASRec"], **DROPOUT, "map_dropout_prob": 0.0, "train_batch_size": 61}
    whole, train, valid, _ = prepare("TextSASRec", "whole", **more)
    parts, *_ = prepare("TextSASRec", "parts", **more, accumulation_steps=3)
    for trainer in (whole, parts):
        trainer.model.double()
        trainer.fit(train, valid)
    losses = [[entry["loss"] for entry in trainer.progress["train"].history] for trainer in (parts, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=0, atol=1e-9)


def test_a_part_with_only_short_windows_learns_the_same_positions():
    batch = Windows(view_of([[True, True, True], [True], [True, True], [True]], width=5))[torch.arange(4)]
    whole = TrainingBatch(batch, torch.tensor([3, 1, 2, 1]), 7)
    found = []
    for part, _ in whole.in_parts(2):
        items = part["item_id_list"][:, : int(part["item_length"].max())]  # models read no further
        states, targets = learned_positions(items[:, :, None], part["item_length"], part["item_id"])
        found += zip(states[:, 0].tolist(), targets.tolist(), strict=True)
    assert sorted(found) == [(1, 2), (2, 3), (3, 4), (5, 6), (7, 8), (8, 9), (10, 11)]


def test_rows_stay_a_choice(prepare):
    by_rows, train, *_ = prepare("TextSASRec", **SMALL, train_on="rows")
    assert type(by_rows._loader(train, {})) is BatchLoader
    by_windows, train, *_ = prepare("TextSASRec", **SMALL)
    assert type(by_windows._loader(train, {})) is WindowLoader


def test_runs_from_before_the_choice_were_trained_on_rows(tiny_dataset):
    assert Config("UniSRec", "tiny", config_dict=tiny_dataset)["train_on"] == "windows"
    before = Config("UniSRec", "tiny", config_dict=tiny_dataset).to_dict()
    del before["train_on"]
    assert Config.from_dict(before)["train_on"] == "rows"
    assert alike(before, {**before, "train_on": "rows"}) and not alike(before, {**before, "train_on": "windows"})


def test_a_part_of_another_model_learns_from_what_it_would_alone(tiny_dataset):
    whole = Config("SpecGR_Aux", "tiny", config_dict=tiny_dataset)
    assert whole["train_on"] == "rows" and whole.part("UniSRec", {}, "here")["train_on"] == "windows"


@pytest.mark.parametrize(
    ("model", "changed", "message"),
    [
        (MeanOfHistory, {"train_on": "windows"}, "MeanOfHistory can't learn from windows. Take --train_on=rows"),
        ("Recformer", {"train_on": "windows"}, "Recformer can't learn from windows"),
        ("SASRec", {"train_on": "windows"}, "RecBole's own loop. Take rows"),
        ("TextSASRec", {"train_on": "words"}, r"\[train_on\] must be rows or windows, but is \[words\]"),
        ("TextSASRec", {"MAX_ITEM_LIST_LENGTH": 1}, "a window of one interaction is a row"),
        ("TextSASRec", {"accumulation_steps": 60}, "windows is too small for 1 processes"),
    ],
)
def test_what_can_not_be_is_refused(prepare, model, changed, message):
    narrow = {key: value for key, value in SMALL.items() if key not in changed} if isinstance(model, str) else {}
    with pytest.raises(UserError, match=message):
        trainer, train, valid, _ = prepare(model, **narrow, **changed)
        trainer.fit(train, valid)
