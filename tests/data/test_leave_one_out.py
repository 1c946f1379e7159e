"""Leave-one-out against a reading of the protocol one user at a time, and against RecBole's own on MovieLens 100k."""

import json
import warnings
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from recbole.data import data_preparation
from recbole.data.dataset import SequentialDataset
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.trainer import Trainer as RecBoleTrainer
from recbole.utils import InputType
from toy_data import LENGTH, load, random_rows, targets_of, tokens_of, write

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.statistics import interaction_statistics
from recbole_specgr.models.contract import adapted
from recbole_specgr.runs.record import protocol_hash
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.datasets import find_dataset
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer

SPLIT = {"split": "leave_one_out"}


class Oracle:
    """The protocol, one user at a time, on tokens."""

    def __init__(self, rows):
        by_user = defaultdict(list)
        for _, (user, item, time) in sorted(enumerate(rows), key=lambda row: (row[1][2], row[0])):
            if item not in [other for other, _ in by_user[user]]:
                by_user[user].append((item, time))
        self.targets = {"train": {}, "valid": {}, "test": {}}
        self.seen, self.interacted, self.first_seen = set(), set(), {}
        for user, done in by_user.items():
            items = [item for item, _ in done]
            phases = ["train"] * len(items)
            if len(items) >= 3:
                phases[-2:] = ["valid", "test"]
            self.interacted |= set(items)
            self.seen |= {item for item, phase in zip(items, phases) if phase == "train"}
            for item, time in done:
                self.first_seen[item] = min(time, self.first_seen.get(item, time))
            for place in range(1, len(items)):
                self.targets[phases[place]][user, items[place]] = items[:place][-LENGTH:]


def few_and_many(seed):
    """Users with one to twenty interactions, repeated pairs, ties, and items that only few have."""
    rows = random_rows(seed, n=200)
    more = [(f"v{user}", f"j{user * step % 11}", step) for user in range(12) for step in range(user % 5)]
    return rows + more


@pytest.mark.parametrize("seed", range(4))
def test_split_seen_candidates_and_histories_match_the_brute_force_oracle(tmp_path, seed):
    rows = few_and_many(seed)
    write(tmp_path, rows, items=[*sorted({row[1] for row in rows}), "idle"])
    dataset, oracle = load(tmp_path, **SPLIT), Oracle(rows)
    for view in dataset.build():
        assert targets_of(view) == oracle.targets[view.phase]
        assert tokens_of(view, view.seen) == oracle.seen
        assert tokens_of(view, view.candidates) == (oracle.seen if view.phase == "train" else oracle.interacted)
    for token, time in oracle.first_seen.items():
        assert dataset.first_seen[dataset.token2id("item_id", token)] == time
    found = interaction_statistics(dataset.split)
    assert oracle.interacted - oracle.seen  # there is something unseen to be counted
    for phase in ("valid", "test"):
        unseen = [item not in oracle.seen for _, item in oracle.targets[phase]]
        assert found[f"{phase}_unseen_share"] == pytest.approx(np.mean(unseen))
    assert found["train_targets"] == len(oracle.targets["train"]) and "split_times" not in found


def test_ties_follow_the_lines_of_the_file(tmp_path):
    rows = [("a", item, 5) for item in ("i4", "i1", "i3", "i2")] + [("b", f"i{n}", n) for n in range(1, 5)]
    write(tmp_path, rows)
    train, valid, test = load(tmp_path, **SPLIT).build()
    assert targets_of(train)["a", "i1"] == ["i4"]
    assert targets_of(valid)["a", "i3"] == ["i4", "i1"]
    assert targets_of(test)["a", "i2"] == ["i4", "i1", "i3"]


@pytest.mark.parametrize(("most", "phase"), [(3, "train"), (2, "valid")])
def test_users_with_too_few_interactions_are_an_error_that_says_how_many_it_takes(tmp_path, most, phase):
    # Below three all are of train: then valid is what lacks first.
    write(tmp_path, [(f"u{user}", f"i{(user + n) % 7}", n) for user in range(9) for n in range(most)])
    with pytest.raises(UserError, match=rf"The {phase} phase .* is empty: .*the most that a user has are {most}\."):
        load(tmp_path, **SPLIT).build()


def test_a_launch_needs_cuts(tmp_path):
    write(tmp_path, random_rows(0))
    with pytest.raises(UserError, match=r"launch_holdout .*leave_one_out\] has no cuts.*--launch_holdout=None"):
        load(tmp_path, **SPLIT, launch_holdout={"share": 0.2, "seed": 1})


def test_the_protocol_is_its_own_and_says_what_it_is(tmp_path):
    rows = [(f"u{user}", f"i{(user * 3 + n) % 10}", 100 * user + n) for user in range(20) for n in range(5 + user % 3)]
    write(tmp_path, rows)
    by_time, dataset = load(tmp_path), load(tmp_path, **SPLIT)
    protocol = dataset.protocol
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["split"] == "leave_one_out"
    assert protocol["min_interactions"] == {"user": 5, "item": min(Counter(row[1] for row in rows).values())}
    assert protocol["repeats"] == "first of every (user, item)" and "split_times" not in protocol
    assert protocol["fingerprint"] == by_time.protocol["fingerprint"]
    assert protocol_hash(protocol) != protocol_hash(by_time.protocol)
    # The cuts belong to the other split: they change nothing here.
    assert load(tmp_path, **SPLIT, timestamp_split=[0.5, 0.6]).protocol == protocol


def test_filters_come_first(tmp_path):
    rows = few_and_many(1)
    write(tmp_path, rows)
    dataset = load(tmp_path, **SPLIT, user_inter_num_interval="[8,inf)")
    first = {(user, item): None for user, item, _ in rows}
    often = {user for user, _ in first if sum(other == user for other, _ in first) >= 8}
    oracle = Oracle([row for row in rows if row[0] in often])
    assert [targets_of(view) for view in dataset.build()] == list(oracle.targets.values())
    assert dataset.protocol["filters"]["user_inter_num_interval"] == "[8,inf)"
    assert dataset.protocol["min_interactions"]["user"] >= 8


@pytest.mark.parametrize(
    "eval_args",
    [
        {"split": {"LS": "valid_and_test"}},
        {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        {"split": {"LS": "valid_and_test"}, "mode": {"valid": "full", "test": "full"}},
    ],
)
def test_recboles_users_may_write_it_as_they_do(tmp_path, eval_args):
    write(tmp_path, few_and_many(0))
    theirs, ours = load(tmp_path, eval_args=eval_args), load(tmp_path, **SPLIT)
    assert theirs.config["split"] == "leave_one_out" and theirs.protocol == ours.protocol
    assert [targets_of(view) for view in theirs.build()] == [targets_of(view) for view in ours.build()]
    again = Config.from_dict(theirs.config.to_dict())
    assert again["split"] == "leave_one_out" and again["eval_args"] == ours.config["eval_args"]


def test_a_higher_layer_may_take_another_split(tmp_path):
    write(tmp_path, few_and_many(0))
    (tmp_path / "recbole.yaml").write_text("eval_args: {split: {LS: valid_and_test}}\n")
    settings = {"data_path": str(tmp_path), "use_gpu": False}
    files = [str(tmp_path / "recbole.yaml")]
    assert Config("SASRec", "toy", files, settings)["split"] == "leave_one_out"
    assert Config("SASRec", "toy", files, {**settings, "split": "by_time"})["split"] == "by_time"


# ---- against RecBole on MovieLens 100k -------------------------------------------------------------------------------


class Fixed(SequentialRecommender):
    """Scores that depend on the history and on nothing else; the same in both harnesses."""

    inductive = True
    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        generator = torch.Generator().manual_seed(5)
        self.table = torch.nn.Parameter(torch.randn(dataset.num(self.ITEM_ID), 16, generator=generator))

    def calculate_loss(self, interaction):
        return self.table.sum()

    def full_sort_predict(self, interaction):
        history = self.table[interaction[self.ITEM_SEQ]] * (interaction[self.ITEM_SEQ] > 0)[..., None]
        return history.mean(1) @ self.table.T


def movielens(folder, times):
    """MovieLens 100k as RecBole ships it, with other times: [N] in the order of the file."""
    source = find_dataset("ml-100k", folder)
    lines = (source / "ml-100k.inter").read_text().splitlines()[1:]
    rows = [(*line.split("\t")[:2], time) for line, time in zip(lines, times(lines))]
    write(folder, rows, name="films")


def both(folder, model=Fixed, **more):
    """RecBole's own train, valid and test loaders, and ours, under equal settings."""
    config = Config(model, "films", config_dict={"data_path": str(folder), "use_gpu": False, **SPLIT, **more})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RecBole's own
        theirs = data_preparation(config, SequentialDataset(config))
    return config, theirs, data_preparation(config, InductiveDataset(config))


def by_user_and_target(rows):
    """User, target, length of the history and the history: int64 [N, 3 + L], ordered."""
    columns = [rows[name][:, None] for name in ("user_id", "item_id", "item_length")]
    table = torch.cat([*columns, rows["item_id_list"]], dim=1).numpy()
    return table[np.lexsort((table[:, 1], table[:, 0]))]


def seconds(lines):
    return [int(line.split("\t")[3]) for line in lines]


def without_ties(lines):
    """The place of each interaction in the order of time, the file's order between equals: exact in float32, too."""
    places = np.empty(len(lines), dtype=int)
    places[np.argsort(seconds(lines), kind="stable")] = np.arange(len(lines))
    return places.tolist()


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untied")
    movielens(folder, without_ties)
    return folder


@pytest.mark.parametrize("length", [10, 50])
def test_targets_and_histories_are_recboles(untied, length):
    _, theirs, ours = both(untied, MAX_ITEM_LIST_LENGTH=length)
    for expected, loader in zip(theirs, ours):
        for field in ("user_id", "item_id"):  # both number them alike
            assert np.array_equal(expected._dataset.field2id_token[field], loader._dataset.field2id_token[field])
        known, found = by_user_and_target(expected._dataset.inter_feat), by_user_and_target(loader._dataset[:])
        assert len(known) > 900 and np.array_equal(found, known)


def test_metrics_are_recboles(untied, monkeypatch):
    config, theirs, ours = both(
        untied, MAX_ITEM_LIST_LENGTH=10, topk=[1, 10, 50], metrics=["Recall", "NDCG", "MRR"], show_progress=False
    )
    monkeypatch.chdir(untied)  # RecBole's trainer makes a folder
    for number in (1, 2):
        model = Fixed(config, theirs[number]._dataset)
        expected = RecBoleTrainer(config, model).evaluate(theirs[number], load_best_model=False)
        found = make_trainer(config, adapted(Fixed)(config, ours[number]._dataset)).evaluate(
            ours[number], load_best_model=False
        )
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1.01e-4)  # RecBole rounds to four decimals
        assert expected["recall@50"] > 0


def test_with_the_times_as_they_are_users_without_ties_have_recboles_targets_and_histories(tmp_path):
    """RecBole sorts float32 times, in which seconds of 1998 are 64 apart, and leaves the order of equals to chance."""
    movielens(tmp_path, seconds)
    _, theirs, ours = both(tmp_path, MAX_ITEM_LIST_LENGTH=10)
    view = ours[2]._dataset
    users, _, times = view.interactions
    untied = [
        user for user in range(1, view.user_num) if len(np.unique(times[users == user][-12:].astype(np.float32))) == 12
    ]
    for expected, loader in zip(theirs[1:], ours[1:]):
        known, found = by_user_and_target(expected._dataset.inter_feat), by_user_and_target(loader._dataset[:])
        known, found = (table[np.isin(table[:, 0], untied)] for table in (known, found))
        assert np.array_equal(found, known) and len(known) == len(untied) > 5
