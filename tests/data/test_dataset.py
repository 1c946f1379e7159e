"""InductiveDataset against a brute-force reading of the protocol and against RecBole's own augmentation."""

import copy
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recbole.data import data_preparation
from recbole.data.dataset import SequentialDataset
from toy_data import LENGTH, load, random_rows, targets_of, tokens_of, write

from recbole_specgr.data.splits.by_time import exact_cuts, launch_times
from recbole_specgr.data.statistics import interaction_statistics, statistics_table
from recbole_specgr.data.times import exact_times, time_unit
from recbole_specgr.system.errors import UserError

NEVER = np.iinfo(np.int64).max


class Oracle:
    """The protocol, one interaction at a time, on tokens."""

    def __init__(self, rows, cuts, launch=None):
        launch = launch or {}
        kept, pairs = [], set()
        for _, (user, item, time) in sorted(enumerate(rows), key=lambda row: (row[1][2], row[0])):
            if (user, item) not in pairs:
                pairs.add((user, item))
                kept.append((user, item, time))
        self.interacted = {item for _, item, _ in kept}
        self.first_seen = {}
        for _, item, time in kept:
            self.first_seen.setdefault(item, max(time, launch.get(item, time)))
        kept = [row for row in kept if row[2] >= launch.get(row[1], row[2])]
        self.seen = {item for _, item, time in kept if time < cuts[0]}
        self.valid_candidates = {item for item in self.interacted if self.first_seen[item] < cuts[1]}
        self.targets = {"train": {}, "valid": {}, "test": {}}
        self.earlier = {}
        past = {}
        for user, item, time in kept:
            history = past.setdefault(user, [])
            if history:
                phase = "train" if time < cuts[0] else "valid" if time < cuts[1] else "test"
                self.targets[phase][user, item] = history[-LENGTH:]
                self.earlier[user, item] = sorted(history)
            history.append(item)


def check(dataset, oracle):
    views = dataset.build()
    assert [view.phase for view in views] == ["train", "valid", "test"]
    for view in views:
        targets = targets_of(view)
        assert targets == oracle.targets[view.phase]
        if view.phase != "train":
            rows = view.earlier_items(torch.arange(len(view)))
            earlier = [sorted(view.field2id_token["item_id"][row[row > 0].tolist()]) for row in rows]
            assert dict(zip(targets, earlier, strict=True)) == {pair: oracle.earlier[pair] for pair in targets}
        assert tokens_of(view, view.seen) == oracle.seen
        assert not view.candidates[0]
    assert tokens_of(dataset, views[0].candidates) == oracle.seen
    assert tokens_of(dataset, views[1].candidates) == oracle.valid_candidates
    assert tokens_of(dataset, views[2].candidates) == oracle.interacted
    for token, time in oracle.first_seen.items():
        assert dataset.first_seen[dataset.token2id("item_id", token)] == time


@pytest.mark.parametrize("seed", range(4))
def test_split_seen_candidates_and_histories_match_the_brute_force_oracle(tmp_path, seed):
    rows = random_rows(seed)
    write(tmp_path, rows)
    dataset = load(tmp_path, timestamp_split=[30, 45])
    assert dataset.split.cuts == (30, 45)
    check(dataset, Oracle(rows, (30, 45)))


@pytest.mark.parametrize("start", [1_600_000_000, 1_628_643_414_042])
def test_adjacent_times_that_float32_cannot_tell_apart_are_kept_apart(tmp_path, start):
    rows = random_rows(7, start)
    assert len({np.float32(time) for *_, time in rows}) < len({time for *_, time in rows}) / 4
    write(tmp_path, rows)
    cuts = (start + 31, start + 46)
    check(load(tmp_path, timestamp_split=list(cuts)), Oracle(rows, cuts))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # RecBole's own
def test_histories_equal_those_of_recboles_own_augmentation(tmp_path):
    rng = np.random.default_rng(3)
    pairs = rng.permutation([(u, i) for u in range(30) for i in range(50)])[:500]
    rows = [(f"u{u}", f"i{i}", int(t)) for (u, i), t in zip(pairs, rng.permutation(2**20)[:500])]  # exact in float32
    write(tmp_path, rows)
    dataset = load(tmp_path)
    stock = SequentialDataset(dataset.config)
    stock._change_feat_format()
    theirs = stock.inter_feat
    expected = {
        (int(user), int(item)): history.tolist()
        for user, item, history in zip(theirs["user_id"], theirs["item_id"], theirs["item_id_list"])
    }
    ours = {}
    for view in dataset.build():
        batch = view[:]
        for user, item, history in zip(batch["user_id"], batch["item_id"], batch["item_id_list"]):
            ours[int(user), int(item)] = history.tolist()
    assert ours == expected
    assert len(ours) == 500 - 30


def test_ties_follow_the_lines_of_the_file_whatever_the_ids(tmp_path):
    rows = [
        ("z", "i0", 1),
        ("a", "i5", 5),
        ("a", "i1", 5),
        ("a", "i9", 5),
        ("a", "i3", 5),
        ("z", "i1", 7),
        ("z", "i2", 9),
    ]
    write(tmp_path, rows)
    views = load(tmp_path, timestamp_split=[6, 8]).build()
    assert targets_of(views[0]) == {("a", "i1"): ["i5"], ("a", "i9"): ["i5", "i1"], ("a", "i3"): ["i5", "i1", "i9"]}


def test_the_first_of_a_repeated_pair_is_kept_wherever_it_stands_in_the_file(tmp_path):
    rows = [("a", "i1", 9), ("a", "i2", 2), ("a", "i1", 1), ("a", "i3", 5), ("a", "i4", 9)]
    write(tmp_path, rows)
    views = load(tmp_path, timestamp_split=[3, 7]).build()
    assert [targets_of(view) for view in views] == [
        {("a", "i2"): ["i1"]},
        {("a", "i3"): ["i1", "i2"]},
        {("a", "i4"): ["i1", "i2", "i3"]},
    ]
    with pytest.raises(UserError, match=r"rm_dup_inter \[last\]"):
        load(tmp_path, rm_dup_inter="last")


def test_a_user_with_one_action_is_no_target_but_makes_its_item_seen(tmp_path):
    rows = [("a", "i1", 1), ("a", "i2", 2), ("a", "i3", 5), ("a", "i4", 8), ("lone", "i9", 1), ("late", "i8", 5)]
    write(tmp_path, rows)
    dataset = load(tmp_path, timestamp_split=[4, 7])
    views = dataset.build()
    assert [len(view) for view in views] == [1, 1, 1]
    assert tokens_of(dataset, dataset.seen) == {"i1", "i2", "i9"}
    assert "i8" in tokens_of(dataset, views[1].candidates)


def test_items_without_interactions_are_never_candidates(tmp_path):
    rows = random_rows(1)
    write(tmp_path, rows, items=[*sorted({row[1] for row in rows}), "idle"])
    dataset = load(tmp_path)
    idle = dataset.token2id("item_id", "idle")
    assert all(not view.candidates[idle] and not view.seen[idle] for view in dataset.build())
    assert dataset.first_seen[idle] == NEVER


# ---- cuts ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=60),
    st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda cut: cut[0] < cut[1]),
)
def test_quantile_cuts_make_the_phases_that_numpy_makes(times, percents):
    times = np.array(times)
    cuts = exact_cuts(times, [percents[0] / 100, percents[1] / 100])
    for cut, percent in zip(cuts, percents):
        # In whole percents the interpolated quantile is a fraction of 100: exact in integers.
        ordered, place = np.sort(times), percent * (len(times) - 1)
        low, high = ordered[place // 100], ordered[-(-place // 100)]
        exact = low * 100 + (high - low) * (place % 100)
        assert ((times >= cut) == (times * 100 >= exact)).all()
        assert cut in times


def test_quantiles_of_millisecond_times_are_whole_and_exact(tmp_path):
    rows = [("a", f"i{n}", 1_628_643_414_042 + n) for n in range(11)]
    write(tmp_path, rows)
    dataset = load(tmp_path, timestamp_split=[0.5, 0.8])
    assert dataset.split.cuts == (1_628_643_414_047, 1_628_643_414_050)
    assert [len(view) for view in dataset.build()] == [4, 3, 3]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ([0.9, 0.8], "must ascend"),
        ([20, 20], "must ascend"),
        ([0.8], "two numbers"),
        ("0.8", "two numbers"),
        (None, "two numbers"),
        (0.8, "two numbers"),
        (["2014-01-01", "2015-01-01"], "must hold numbers"),
        ([0.8, float("nan")], "must hold numbers"),
        ([0.8, 30], "two quantiles above 0 and below 1, or two whole"),
        ([-0.5, 0.5], "two quantiles above 0 and below 1, or two whole"),
        ([20.5, 30], "two quantiles above 0 and below 1, or two whole"),
    ],
)
def test_cuts_that_cannot_be_are_refused(setting, message):
    with pytest.raises(UserError, match=message):
        exact_cuts(np.arange(100), setting)


@pytest.mark.parametrize(("data", "cuts"), [("s", "ms"), ("ms", "s")])
def test_cuts_in_another_unit_than_the_data_are_an_error_that_says_so(tmp_path, data, cuts):
    rows = random_rows(0, start=1_600_000_000)
    scale = {"s": 1, "ms": 1000}
    write(tmp_path, [(user, item, time * scale[data]) for user, item, time in rows])
    with pytest.raises(UserError, match=f"looks like times in {cuts}, but the data's times are in {data}.*2020-09-13"):
        load(tmp_path, timestamp_split=[1_600_000_030 * scale[cuts], 1_600_000_045 * scale[cuts]])


@pytest.mark.parametrize(("cuts", "phase"), [([-5, 45], "train"), ([30, 31], "valid"), ([30, 99], "test")])
def test_an_empty_phase_is_an_error_with_its_name_the_cuts_and_the_times(tmp_path, cuts, phase):
    rows = [row for row in random_rows(0) if row[2] != 30]
    write(tmp_path, rows)
    with pytest.raises(UserError, match=f"The {phase} phase .* is empty.*run from 0 .* to 59 ") as error:
        load(tmp_path, timestamp_split=cuts).build()
    assert str(cuts) in str(error.value)


def test_a_phase_of_first_actions_only_is_empty_too(tmp_path):
    write(tmp_path, [("a", "i1", 1), ("a", "i2", 2), ("b", "i3", 5), ("a", "i4", 8)])
    with pytest.raises(UserError, match=r"valid phase .* 1 interactions and none with an earlier one"):
        load(tmp_path, timestamp_split=[4, 7]).build()


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [("", "missing or infinite"), ("3.25", "fractional"), ("1628643414042000000", "too large"), ("inf", "infinite")],
)
def test_times_that_are_not_exact_are_refused_with_the_row(tmp_path, value, message):
    write(tmp_path, [("a", "i1", 1), ("a", "i2", value), ("a", "i3", 5)])
    with pytest.raises(UserError, match=rf"time field \[timestamp\] are .*{message}.*row 2"):
        load(tmp_path)


def test_a_time_field_that_is_not_loaded_is_named(tmp_path):
    write(tmp_path, random_rows(0))
    with pytest.raises(UserError, match=r"\[timestamp\].*user_id.*load_col"):
        load(tmp_path, load_col={"inter": ["user_id", "item_id"]})
    with pytest.raises(UserError, match=r"\[load_col: \{'inter': None.* loads no column of interactions"):
        load(tmp_path, load_col={"inter": None})


def test_exact_times_keeps_the_largest_exact_float():
    assert exact_times(np.array([2.0**53, -(2.0**53)]), "t").tolist() == [2**53, -(2**53)]
    assert exact_times(np.array([2**62], dtype=np.int64), "t").tolist() == [2**62]


@pytest.mark.parametrize(("time", "unit"), [(893_286_638, "s"), (1_628_643_414_042, "ms"), (10**15, "us"), (0, "s")])
def test_time_unit(time, unit):
    assert time_unit([time]) == unit


def test_recboles_normalisation_does_not_reach_the_split(tmp_path):
    rows = random_rows(2)
    write(tmp_path, rows)
    check(load(tmp_path, normalize_all=True, timestamp_split=[30, 45]), Oracle(rows, (30, 45)))


# ---- launches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_held_back_items_exist_from_their_launch_on(tmp_path, seed):
    rows = random_rows(seed, n=600)
    write(tmp_path, rows)
    holdout = {"share": 0.3, "seed": seed}
    dataset = load(tmp_path, timestamp_split=[30, 45], launch_holdout=holdout)
    tokens = sorted({row[1] for row in rows})
    launch = launch_times(tokens, holdout, (30, 45))
    assert len(launch) == round(0.3 * len(tokens))
    assert sorted(launch.values()).count(30) in (len(launch) // 2, (len(launch) + 1) // 2)
    assert tokens_of(dataset, torch.from_numpy(dataset.split.held_back)) == set(launch)
    check(dataset, Oracle(rows, (30, 45), launch))
    assert not tokens_of(dataset, dataset.seen) & set(launch)


def test_an_item_whose_every_interaction_was_before_its_launch_stays_a_candidate(tmp_path):
    rows = [(f"u{n % 9}", f"i{n % 31}", n) for n in range(300)]
    early = [f"e{n}" for n in range(10)]
    rows += [("u1", item, n) for n, item in enumerate(early)]
    write(tmp_path, rows)
    dataset = load(tmp_path, timestamp_split=[150, 225], launch_holdout={"share": 0.6, "seed": 1})
    held = tokens_of(dataset, torch.from_numpy(dataset.split.held_back)) & set(early)
    assert held
    train, valid, test = dataset.build()
    assert held <= tokens_of(dataset, test.candidates)
    launch = {item: int(dataset.first_seen[dataset.token2id("item_id", item)]) for item in held}
    assert {item for item in held if launch[item] == 150} == held & tokens_of(dataset, valid.candidates)
    histories = {item for view in (train, valid, test) for history in targets_of(view).values() for item in history}
    assert not histories & held


def test_quantile_cuts_are_taken_before_anything_is_held_back(tmp_path):
    write(tmp_path, random_rows(0))
    plain, held = (load(tmp_path, launch_holdout=setting) for setting in (None, {"share": 0.5, "seed": 0}))
    assert plain.split.cuts == held.split.cuts
    assert plain.fingerprint == held.fingerprint
    assert plain.protocol != held.protocol


def test_the_draw_depends_on_tokens_and_seed_only(tmp_path):
    rows = random_rows(0)
    shuffled = [rows[n] for n in np.random.default_rng(1).permutation(len(rows))]
    drawn = []
    for name, some, seed in (("one", rows, 5), ("two", shuffled, 5), ("three", rows, 6)):
        write(tmp_path, some, name)
        dataset = load(tmp_path, name=name, launch_holdout={"share": 0.3, "seed": seed})
        drawn.append(tokens_of(dataset, torch.from_numpy(dataset.split.held_back)))
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "setting",
    [
        {"share": 0, "seed": 1},
        {"share": 1.0, "seed": 1},
        {"share": 0.2},
        {"share": 0.2, "seed": -1},
        [0.2],
        {"share": 0.1, "seed": 1},
    ],
)
def test_launch_holdouts_that_cannot_be_are_refused(setting):
    with pytest.raises(UserError, match="launch_holdout"):
        launch_times(["a", "b"], setting, (1, 2))


# ---- views, batches, RecBole's machinery -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write(folder, random_rows(5))
    return load(folder).build()


INDICES = [
    3,
    -1,
    slice(2, 9),
    slice(9, 2, -3),
    [4, 0, 4],
    np.array([7, 1]),
    np.arange(9)[::-1],
    np.arange(6)[::2],
    torch.tensor([5, 5, 2]),
    torch.tensor(4),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_any_index_gives_those_rows(views, index):
    view = views[0]
    whole, batch = view[:], view[index]
    rows = np.arange(len(view))[index.numpy() if isinstance(index, torch.Tensor) else index].copy()
    assert set(batch.columns) == {
        "user_id",
        "item_id",
        "timestamp",
        "item_id_list",
        "item_length",
        "timestamp_list",
        "title",
        "genre",
    }
    for field in batch.columns:
        assert torch.equal(batch[field], whole[field][rows])
    assert set(view.__getitem__(index, join=False).columns) == set(batch.columns) - {"title", "genre"}


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_any_index_gives_all_that_the_user_has_had(tmp_path, index):
    """In valid and test, where lists do without it."""
    write(tmp_path, random_rows(5))
    train, valid, view = load(tmp_path, repeatable=False).build()
    assert "earlier_item_id_list" not in train[:].columns and "earlier_item_id_list" in valid[:].columns
    whole, rows = view.earlier_items(torch.arange(len(view))), view[index]["earlier_item_id_list"]
    expected = whole[np.arange(len(view))[index.numpy() if isinstance(index, torch.Tensor) else index].copy()]
    width = rows.size(-1)
    assert torch.equal(rows, expected[..., :width]) and not expected[..., width:].any()
    assert width & (width - 1) == 0, "few shapes"


def test_a_boolean_mask_is_an_index_too(views):
    view = views[1]
    mask = np.arange(len(view)) % 3 == 0
    assert torch.equal(view[mask]["item_id"], view[:]["item_id"][mask])


def test_views_share_the_sorted_array(views):
    arrays = {view._history_items.data_ptr() for view in views}
    assert len(arrays) == 1
    assert len({view.seen.data_ptr() for view in views}) == 1


@pytest.mark.parametrize("reorder", [lambda view: view.sort("item_id"), lambda view: view.shuffle()])
def test_rows_keep_their_histories_when_recbole_reorders_them(views, reorder):
    view = copy.deepcopy(views[0])
    before = targets_of(view)
    reorder(view)
    assert targets_of(view) == before
    assert "_row" not in view.inter_feat


def test_a_view_survives_pickling_and_answers_lookups_of_histories(views):
    view = pickle.loads(pickle.dumps(views[2]))
    batch = view[:]
    rows = np.array([3, 0, 2])
    assert torch.equal(view.inter_feat["item_id_list"][rows], batch["item_id_list"][rows])
    assert torch.equal(view.inter_feat["item_length"][rows], batch["item_length"][rows])


def test_inter_matrix_holds_the_targets(views):
    matrix, batch = views[0].inter_matrix(), views[0][:]
    expected = np.zeros((views[0].user_num, views[0].item_num))
    expected[batch["user_id"], batch["item_id"]] = 1
    assert (matrix.toarray() == expected).all()


def test_build_may_be_called_again(tmp_path):
    write(tmp_path, random_rows(0))
    dataset = load(tmp_path)
    assert [targets_of(view) for view in dataset.build()] == [targets_of(view) for view in dataset.build()]


@pytest.mark.parametrize("model", ["SASRec", "FDSA", "S3Rec"])
def test_recboles_loaders_give_every_row_once_with_its_history(tmp_path, model):
    rows = random_rows(4)
    write(tmp_path, rows)
    dataset = load(tmp_path, model, timestamp_split=[30, 45], train_batch_size=37, eval_batch_size=11)
    oracle = Oracle(rows, (30, 45))
    for loader, phase in zip(data_preparation(dataset.config, dataset), ("train", "valid", "test")):
        found = {}
        for batch in loader:
            interaction = batch if phase == "train" else batch[0]
            if phase != "train":
                assert torch.equal(batch[3], interaction["item_id"])
            names = [dataset.id2token(f"{field}_id", interaction[f"{field}_id"].numpy()) for field in ("user", "item")]
            for user, item, history in zip(*names, interaction["item_id_list"]):
                found[user, item] = list(dataset.id2token("item_id", history[history > 0].numpy()))
            genres = dataset.get_item_feature()["genre"][interaction["item_id"]]
            assert torch.equal(interaction["genre"], genres)
        assert found == oracle.targets[phase]


def test_recboles_filters_work_and_are_recorded(tmp_path):
    rows = random_rows(6)
    write(tmp_path, rows)
    dataset = load(tmp_path, user_inter_num_interval="[8,inf)", timestamp_split=[30, 45])
    frame = pd.DataFrame(rows, columns=["user", "item", "time"])
    pairs = frame.sort_values("time", kind="stable").drop_duplicates(["user", "item"])
    often = pairs["user"].value_counts().loc[lambda count: count >= 8].index
    check(dataset, Oracle([row for row in rows if row[0] in often], (30, 45)))
    assert dataset.protocol["filters"]["user_inter_num_interval"] == "[8,inf)"
    assert "item_inter_num_interval" not in dataset.protocol["filters"]


def test_benchmark_files_are_refused(tmp_path):
    write(tmp_path, random_rows(0))
    with pytest.raises(UserError, match="benchmark_filename"):
        load(tmp_path, benchmark_filename=["train", "valid", "test"])


# ---- protocol and statistics -----------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_interactions_and_their_order_within_users(tmp_path):
    rows = [(f"u{n % 7}", f"i{n % 31}", n) for n in range(200)]
    by_user = sorted(rows, key=lambda row: row[0])  # other line numbers and other internal ids, same sequences
    changed = [*rows[:-1], (rows[-1][0], "i30", 199)]
    later = [*rows[:-1], (*rows[-1][:2], 200)]
    found = []
    for name, some in (("one", rows), ("two", by_user), ("three", changed), ("four", later)):
        write(tmp_path, some, name)
        found.append(load(tmp_path, name=name).fingerprint)
    assert found[0] == found[1]
    assert len(set(found)) == 3
    tied = [("a", "i1", 1), ("a", "i2", 1), ("a", "i3", 2), ("a", "i4", 3)]
    for name, some in (("five", tied), ("six", [tied[1], tied[0], *tied[2:]])):
        write(tmp_path, some, name)
        found.append(load(tmp_path, name=name).fingerprint)
    assert found[-1] != found[-2]


def test_the_protocol_is_plain_data_and_the_same_for_every_model(tmp_path):
    write(tmp_path, random_rows(0))
    protocols = [
        load(tmp_path, model, launch_holdout={"share": 0.2, "seed": 3}).protocol for model in ("SASRec", "FDSA")
    ]
    assert protocols[0] == protocols[1]
    assert json.loads(json.dumps(protocols[0])) == protocols[0]
    assert protocols[0]["launch_holdout"] == {"share": 0.2, "seed": 3}
    assert protocols[0]["max_item_list_length"] == LENGTH


@pytest.mark.parametrize("holdout", [None, {"share": 0.3, "seed": 0}])
def test_statistics_count_what_the_views_hold(tmp_path, holdout):
    write(tmp_path, random_rows(8))
    dataset = load(tmp_path, launch_holdout=holdout)
    found = interaction_statistics(dataset.split)
    for view in dataset.build():
        assert found[f"{view.phase}_targets"] == len(view)
        if view.phase != "train":
            share = (~view.seen[view[:]["item_id"]]).double().mean()
            assert found[f"{view.phase}_unseen_share"] == pytest.approx(float(share))
    assert found["interactions"] == sum(found[f"{phase}_interactions"] for phase in ("train", "valid", "test"))


def test_the_share_of_new_items_to_be_expected_is_that_of_valid_with_the_cuts_a_phase_earlier(tmp_path):
    write(tmp_path, random_rows(8))
    split = load(tmp_path).split
    rows = list(zip(split.users.tolist(), split.items.tolist(), split.times.tolist()))  # by user, then time
    valid = [place for place, row in enumerate(rows) if split.cuts[0] <= row[2] < split.cuts[1]]
    earlier = sorted(time for *_, time in rows if time < split.cuts[0])[-len(valid)]
    known = {item for _, item, time in rows if time < earlier}
    asked = [rows[at][1] not in known for at in valid if any(user == rows[at][0] for user, *_ in rows[:at])]
    found = interaction_statistics(split)["expected_unseen_share"]
    assert 0 < found < 1 and found == pytest.approx(sum(asked) / len(asked))
    assert f"{100 * found:.1f} %" in statistics_table(interaction_statistics(split), "cuts")
    held_back = interaction_statistics(load(tmp_path, launch_holdout={"share": 0.3, "seed": 0}).split)
    assert held_back["expected_unseen_share"] is None
    assert "expected" not in statistics_table(held_back, "cuts")
    longer = load(tmp_path, timestamp_split=[0.3, 0.9]).split  # valid has more than all there is before it
    assert interaction_statistics(longer)["expected_unseen_share"] is None


def test_the_share_of_new_items_to_be_expected_is_found_once(tmp_path, monkeypatch):
    write(tmp_path, random_rows(8))
    split = load(tmp_path).split
    found = split.facts["expected_unseen_share"]
    monkeypatch.setattr(np, "partition", None)
    assert interaction_statistics(split)["expected_unseen_share"] == found > 0


def test_interactions_of_items_that_the_item_file_lacks_are_missed(tmp_path, caplog):
    rows = random_rows(0)
    write(tmp_path, rows)
    whole = load(tmp_path)
    assert "left out" not in caplog.text
    file = tmp_path / "toy" / "toy.item"
    lines = file.read_text().splitlines(keepends=True)
    token = lines[-1].partition("\t")[0]
    file.write_text("".join(lines[:-1]))
    fewer = load(tmp_path)
    gone = len(whole.inter_feat) - len(fewer.inter_feat)
    assert gone > 0 and token not in fewer.field2token_id["item_id"]
    assert f"{gone:,} of {len(whole.inter_feat):,} interactions are left out" in caplog.text


def test_values_of_a_column_without_numbers_are_kept_by_a_list(tmp_path):
    write(tmp_path, random_rows(0))
    kept = load(tmp_path, val_interval={"item_id": ["i1", "i2", "i3"]})
    assert set(kept.field2token_id["item_id"]) <= {"[PAD]", "i1", "i2", "i3"}
    with pytest.raises(UserError, match=r"\[val_interval.item_id: \[1,2\]\].*list of the values"):
        load(tmp_path, val_interval={"item_id": "[1,2]"})


def test_long_item_texts_come_back_whole(tmp_path):
    text = "word " * 3000 + "end"
    write(tmp_path, random_rows(0))
    file = tmp_path / "toy" / "toy.item"
    file.write_text(file.read_text().replace("The i1\t", f"{text}\t"))
    dataset = load(tmp_path)
    row = dataset.item_feat["title"][dataset.token2id("item_id", "i1")]
    assert dataset.id2token("title", int(row)) == text
    assert dataset.field2id_token["title"].dtype == object


# ---- the choice of a split -------------------------------------------------------------------------------------------


def test_a_split_that_there_is_not_is_named_with_those_there_are(tmp_path):
    write(tmp_path, random_rows(0))
    with pytest.raises(UserError, match=r"no \[split: by_tim\].*by_time"):
        load(tmp_path, split="by_tim")


OWN_SPLIT = (
    "from recbole_specgr.data.splits.contract import Split\n\n\n"
    "class ByUser(Split):\n"
    "    name = 'by_user'\n\n"
    "    def divide(self):\n"
    "        return (self.users % 5 == 1) + 2 * (self.users % 5 == 2)\n\n"
    "    def rankable(self, phase):\n"
    "        return self.interacted\n\n"
    "    @property\n"
    "    def protocol(self):\n"
    "        return {'split': self.name, 'phases': 'users in fifths', 'candidates': 'all interacted items'}\n\n"
    "    def why_empty(self, phase):\n"
    "        return 'there are too few users.'\n\n"
    "    @classmethod\n"
    "    def eval_args(cls, settings):\n"
    "        return {'split': None, 'order': 'TO', 'group_by': 'user'}\n"
)


def test_a_split_of_ones_own_needs_one_file(tmp_path, monkeypatch):
    """Users whose name ends in 0 are tested on all they did, those in 1 validate, all others train."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "by_user.py").write_text(OWN_SPLIT)
    write(tmp_path, random_rows(0))
    dataset = load(tmp_path, split="by_user:ByUser")
    views = dataset.build()
    for view, rest in zip(views, ({0, 3, 4}, {1}, {2})):
        assert set((view[:]["user_id"] % 5).tolist()) == rest
        assert torch.equal(view.candidates, torch.from_numpy(dataset.split.interacted))
    assert sum(map(len, views)) == int(dataset.split.targets.sum())
    assert set(dataset.seen.nonzero().flatten().tolist()) == set(dataset.train_interactions[1].tolist())
    assert dataset.protocol["split"] == "by_user" and "split_times" not in dataset.protocol


@pytest.mark.parametrize(
    ("divides", "says"),
    [
        ("(self.users % 5 == 1) + 3 * (self.users % 5 == 2)", r"puts \d+ interactions into phase 3. The phases are 0"),
        ("self.users % 5 == 1", "into phases bool"),
        ("(self.users % 5)[1:]", "Wanted is a whole number for each of them"),
    ],
)
def test_a_split_of_ones_own_that_makes_no_phases_is_refused(divides, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    wrong = OWN_SPLIT.replace("(self.users % 5 == 1) + 2 * (self.users % 5 == 2)", divides)
    (tmp_path / "baselines" / "wrong_phases.py").write_text(wrong)
    write(tmp_path, random_rows(0))
    with pytest.raises(UserError, match=rf"\[split: by_user\].*{says}"):
        load(tmp_path, split="wrong_phases:ByUser")


def test_targets_that_a_split_does_not_let_be_ranked_are_said(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    narrow = OWN_SPLIT.replace("return self.interacted", "return self.seen")
    (tmp_path / "baselines" / "seen_only.py").write_text(narrow)
    write(tmp_path, random_rows(0))
    dataset = load(tmp_path, split="seen_only:ByUser")
    for view in dataset.build()[1:]:
        beyond = int((~view.seen[view[:]["item_id"]]).sum())
        assert beyond and f"{beyond} of {len(view)} targets of the {view.phase} phase are not among" in caplog.text
