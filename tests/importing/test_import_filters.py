"""What the importer leaves out on request, what it takes as features, and the dry run."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.importing.filters import Filters, k_core
from recbole_specgr.importing.importer import import_dataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

DAY = 86_400
START = 1_577_836_800  # 2020-01-01


def frames():
    """A year of interactions, one a day and user, and their items with columns of every kind."""
    rng = np.random.default_rng(3)
    pairs = rng.permutation(list(product(range(12), range(20))))[:150]
    interactions = pd.DataFrame(
        {
            "user": [f"u{user}" for user, _ in pairs],
            "item": [f"i{item}" for _, item in pairs],
            "time": START + np.sort(rng.integers(366, size=len(pairs))) * DAY,
        }
    )
    items = pd.DataFrame(
        {
            "item": [f"i{item}" for item in range(20)],
            "title": [f"Thing {item}" for item in range(20)],
            "blurb": [f"All about thing {item}, and more" for item in range(20)],
            "maker": ["Ash, Inc.", "Birch", "Cedar", None] * 5,
            "platforms": ["PC|Xbox", "PC", None, "Switch|PC|Xbox"] * 5,
            "themes": [["a very long name of a theme that goes on and on, and on, and on, and on"], ["b"]] * 10,
        }
    )
    return interactions, items


def run(tmp_path, interactions=None, items=None, **options):
    some, others = frames()
    (some if interactions is None else interactions).to_parquet(tmp_path / "i.parquet")
    (others if items is None else items).to_parquet(tmp_path / "m.parquet")
    return import_dataset(tmp_path / "i.parquet", tmp_path / "m.parquet", "toy", tmp_path / "dataset", **options)


def written(tmp_path) -> set[tuple]:
    frame = pd.read_csv(tmp_path / "dataset/toy/toy.inter", sep="\t")
    return set(frame.itertuples(index=False, name=None))


def rows(frame) -> set[tuple]:
    return set(frame.itertuples(index=False, name=None))


# ---- k-core ----------------------------------------------------------------------------------------------------------


def core_by_hand(pairs: list[tuple[int, int]], least: int) -> list[bool]:
    """Takes away one user or item that has too few, until there is none."""
    left = dict.fromkeys(range(len(pairs)))
    while True:
        for side in (0, 1):
            counts = {}
            for row in left:
                counts.setdefault(pairs[row][side], []).append(row)
            few = next((found for found in counts.values() if len(found) < least), None)
            if few:
                for row in few:
                    del left[row]
                break
        else:
            return [row in left for row in range(len(pairs))]


@pytest.mark.parametrize("least", [1, 2, 3, 4, 5])
def test_the_core_is_that_of_taking_away_one_at_a_time(least):
    rng = np.random.default_rng(least)
    for size in (1, 30, 90, 200):
        users, items = rng.integers(25, size=size), (rng.random(size) ** 2 * 30).astype(int)
        expected = core_by_hand(list(zip(users.tolist(), items.tolist())), least)
        assert k_core(users, items, least).tolist() == expected


def test_the_core_is_what_is_written_and_a_note_says_what_it_does(tmp_path):
    interactions, _ = frames()
    codes = [pd.factorize(interactions[column])[0] for column in ("user", "item")]
    expected = interactions[core_by_hand(list(zip(*codes)), 6)]
    assert 0 < len(expected) < len(interactions)
    report = run(tmp_path, filters=Filters(min_interactions=6))
    assert written(tmp_path) == rows(expected)
    assert report.counts["dropped: interactions outside the 6-core"] == len(interactions) - len(expected)
    for text in (str(report), (tmp_path / "dataset/toy/toy.yaml").read_text()):
        assert "6-core was taken over the whole period" in text.replace("\n# ", " ")
    kept = pd.read_csv(tmp_path / "dataset/toy/toy.item", sep="\t")["item_id:token"]
    assert set(kept) == set(expected["item"])


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2020-03-01", None, 60, 365),
        (None, "2020-03-01", 0, 59),
        ("20200301", "20201231", 60, 364),
        ("2020-03-01T00:00:01", "2020-12-31T00:00:00+00:00", 61, 364),
        (str(START + 10 * DAY), str(START + 20 * DAY), 10, 19),
        ("2019", "2020-01-11", 0, 9),
    ],
)
@pytest.mark.parametrize("unit", [1, 1000])
def test_a_period_keeps_from_its_first_moment_to_before_its_last(tmp_path, since, until, first, last, unit):
    interactions, _ = frames()
    day = (interactions["time"] - START) // DAY
    interactions["time"] *= unit
    if since and since.isdecimal() and len(since) > 8:
        since, until = (str(int(bound) * unit) for bound in (since, until))
    expected = interactions[(day >= first) & (day <= last)]
    report = run(tmp_path, interactions, filters=Filters(since, until))
    assert written(tmp_path) == rows(expected)
    assert report.counts["dropped: interactions outside the period"] == len(interactions) - len(expected)


def test_the_period_comes_before_repeats_and_the_core(tmp_path):
    interactions, _ = frames()
    repeat = interactions.iloc[[0]].assign(time=START + 300 * DAY)
    report = run(tmp_path, pd.concat([interactions, repeat], ignore_index=True), filters=Filters("2020-06-01"))
    assert rows(repeat) <= written(tmp_path)
    assert "dropped: repeated (user, item) pairs (the first was kept)" not in report.counts


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"since": "soon"}, r"--from \[soon\] is neither a date"),
        ({"until": "31.12.2020"}, r"--to \[31\.12\.2020\] is neither a date"),
        ({"since": "2020-05-01", "until": "2020-04-01"}, r"--from \[2020-05-01\] must be before --to"),
        ({"since": str(START * 1000)}, r"looks like ms, but the times run from .* in s"),
        ({"since": "202004"}, r"--from \[202004\] looks like a date written as a whole number"),
        ({"until": "2030070112"}, r"--to \[2030070112\] looks like a date"),
        ({"since": "2022-01-01"}, r"No interaction .* is left by --from 2022-01-01"),
        ({"min_interactions": 100}, r"is left by --min-interactions 100"),
        ({"min_interactions": 0}, r"--min-interactions \[0\] must be 1 or more"),
    ],
)
def test_filters_that_cannot_be_or_leave_nothing_are_refused(tmp_path, filters, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, filters=Filters(**filters))
    assert not (tmp_path / "dataset").exists()


# ---- features and the dry run ----------------------------------------------------------------------------------------


def test_features_are_labels_or_lists_of_labels(tmp_path):
    report = run(tmp_path, text_fields=["title", "blurb"], feature_fields=["maker", "platforms", "themes"])
    assert report.columns["text blurb"] == "blurb" and report.columns["feature maker"] == "maker"
    config = Config("FDSA", "toy", config_dict={"data_path": str(tmp_path / "dataset")})
    assert config["selected_features"] == ["maker", "platforms", "themes"]
    assert config["item_attribute"] == "platforms"
    assert config["text_fields"] == ["title", "blurb"]
    dataset = InductiveDataset(config)
    dataset.build()
    items = dataset.token2id("item_id", ["i0", "i2", "i3"])
    for field, expected in {
        "maker": [["Ash, Inc."], ["Cedar"], ["[PAD]"]],
        "platforms": [["PC", "Xbox"], [], ["Switch", "PC", "Xbox"]],
    }.items():
        cells = dataset.item_feat[field][items].numpy().reshape(3, -1)
        tokens = [[token for token in dataset.id2token(field, cell) if token != "[PAD]"] for cell in cells]
        assert tokens == [[token for token in cell if token != "[PAD]"] for cell in expected]
    assert max(map(len, dataset.field2id_token["themes"])) > 64


def test_a_column_may_be_text_and_feature(tmp_path):
    run(tmp_path, text_fields=["title", "platforms"], feature_fields=["platforms"])
    header = (tmp_path / "dataset/toy/toy.item").read_text().splitlines()[0]
    assert header == "item_id:token\ttitle:token\tplatforms:token_seq"
    with pytest.raises(UserError, match=r"no column \[colour\]"):
        run(tmp_path, feature_fields=["colour"], overwrite=True)


def test_a_dry_run_finds_all_and_writes_nothing(tmp_path):
    options = {"filters": Filters("2020-02-01", min_interactions=3), "feature_fields": ["maker"]}
    dry = run(tmp_path, dry_run=True, **options)
    assert not (tmp_path / "dataset").exists()
    assert "was not written" in str(dry)
    wet = run(tmp_path, **options)
    assert (dry.statistics, dry.counts, dry.columns) == (wet.statistics, wet.counts, wet.columns)
    before = (tmp_path / "dataset/toy/toy.inter").stat().st_mtime_ns
    run(tmp_path, dry_run=True)  # an existing data set is no hindrance
    assert (tmp_path / "dataset/toy/toy.inter").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="has no column"):
        run(tmp_path, dry_run=True, text_fields=["nothing"])
