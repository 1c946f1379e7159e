"""The importer: every format in, what RecBole then reads out, and what it says about input that is wrong."""

import gzip
import json
import runpy
import sys
from datetime import date, datetime, timezone

import numpy as np
import pandas as pd
import pytest
import yaml
from pandas._libs.parsers import STR_NA_VALUES

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.ids import MISSING
from recbole_specgr.data.statistics import interaction_statistics
from recbole_specgr.importing.atomic_files import whole_folder
from recbole_specgr.importing.importer import import_dataset
from recbole_specgr.importing.timestamps import parse_times
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.item_text import FrameTexts, field_kinds, item_texts

SECOND = 1_600_000_000


def frames(n_users=8, n_items=12, n=60):
    """Interactions and items with the columns of Amazon Reviews."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation([(u, i) for u in range(n_users) for i in range(n_items)])[:n]
    interactions = pd.DataFrame(
        {
            "user_id": [f"U{u:03}" for u, _ in pairs],
            "parent_asin": [f"{i:010}" for _, i in pairs],  # leading zeros must stay
            "rating": rng.integers(1, 6, len(pairs)),
            "timestamp": SECOND + rng.integers(10_000, size=len(pairs)),
        }
    )
    asins = sorted(interactions["parent_asin"].unique())
    items = pd.DataFrame(
        {
            "parent_asin": asins,
            "title": [f'Game "{n}", part | {n}' for n in range(len(asins))],
            "categories": [["Video Games", f"Platform {n % 3}"] for n in range(len(asins))],
            "price": 9.99,
        }
    )
    return interactions, items


def write(frame, path):
    """`frame` in the format that the name of `path` says."""
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[1]
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep={"csv": ",", "tsv": "\t"}[kind], index=False)
    return path


def run(tmp_path, interactions=None, items=None, name="toy", **options):
    some, others = frames()
    inter_file = write(some if interactions is None else interactions, tmp_path / "interactions.parquet")
    item_file = write(others if items is None else items, tmp_path / "items.parquet")
    return import_dataset(inter_file, item_file, name, tmp_path / "dataset", **options)


def load(tmp_path, name="toy"):
    return InductiveDataset(Config("SASRec", name, config_dict={"data_path": str(tmp_path / "dataset")}))


def rows_of(dataset):
    """User tokens, item tokens and times as RecBole and the data set read them back."""
    users, items, times = dataset.interactions
    return dataset.id2token("user_id", users), dataset.id2token("item_id", items), times


def read(tmp_path, name="toy"):
    """The data set and its interactions as {(user, item, time)}."""
    dataset = load(tmp_path, name)
    users, items, times = rows_of(dataset)
    return dataset, set(zip(users, items, times.tolist()))


def text_of(dataset, item, field):
    dataset.build()  # the item features are tensors from here on
    return dataset.id2token(field, dataset.item_feat[field][dataset.token2id("item_id", item)].numpy())


def expected_rows(frame):
    return set(frame[["user_id", "parent_asin", "timestamp"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_format_gives_the_data_set_that_went_in(tmp_path, kind):
    interactions, items = frames()
    if not kind.startswith(("jsonl", "parquet")):
        items["categories"] = items["categories"].str.join("|")
    write(interactions, tmp_path / f"reviews.{kind}")
    write(items, tmp_path / f"meta.{kind}")
    report = import_dataset(tmp_path / f"reviews.{kind}", tmp_path / f"meta.{kind}", "toy", tmp_path / "dataset")
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)
    assert report.columns["item_id"] == "parent_asin"
    for row in items.itertuples():
        assert text_of(dataset, row.parent_asin, "title") == row.title
        labels = row.categories.split("|") if isinstance(row.categories, str) else row.categories
        assert list(text_of(dataset, row.parent_asin, "categories")) == labels
    assert dataset.config["text_fields"] == ["title", "categories"]
    assert "price" not in dataset.item_feat
    assert report.unused == ["price"] and "Not used of the items: price (" in str(report)
    assert "--text-fields A,B and --feature-fields A,B choose" in str(report) and "add-items" not in str(report)


def test_every_model_layer_accepts_the_property_file(tmp_path):
    run(tmp_path)
    for model in ("SASRec", "FDSA", "S3Rec"):
        config = Config(model, "toy", config_dict={"data_path": str(tmp_path / "dataset")})
        assert config["load_col"]["item"] == ["item_id", "title", "categories"]
        assert config["timestamp_split"] == [0.8, 0.9]
    assert config["item_attribute"] == "categories"


def test_lines_keep_their_order_because_ties_follow_it(tmp_path):
    interactions, _ = frames()
    interactions["timestamp"] = SECOND
    run(tmp_path, interactions)
    written = pd.read_csv(tmp_path / "dataset/toy/toy.inter", sep="\t", dtype=str)
    assert list(written["item_id:token"]) == list(interactions["parent_asin"])
    assert list(written.columns) == ["user_id:token", "item_id:token", "timestamp:float"]


@pytest.mark.parametrize(
    "names",
    [
        ("userid", "gameid", "date_added"),
        ("reviewerID", "asin", "unixReviewTime"),
        ("user_id:token", "item_id:token", "timestamp:float"),
        ("UserId", "movieId", "Time"),
    ],
)
def test_common_column_names_are_guessed(tmp_path, names):
    interactions, items = frames()
    renamed = interactions.rename(columns=dict(zip(["user_id", "parent_asin", "timestamp"], names)))
    items = items.rename(columns={"parent_asin": names[1]})
    report = run(tmp_path, renamed, items)
    assert [report.columns[field] for field in ("user_id", "item_id", "timestamp")] == list(names)
    assert read(tmp_path)[1] == expected_rows(interactions)


def test_named_columns_and_text_fields_win_over_guesses(tmp_path):
    interactions, items = frames()
    interactions = interactions.rename(columns={"user_id": "who", "parent_asin": "what", "timestamp": "when"})
    interactions["timestamp"] = 0
    items = items.rename(columns={"parent_asin": "what"}).assign(blurb="a blurb", user_id="maker")
    run(
        tmp_path,
        interactions,
        items,
        user_column="who",
        item_column="what",
        time_column="when",
        text_fields=["blurb", "user_id", "title"],
    )
    dataset, rows = read(tmp_path)
    assert rows == set(interactions[["who", "what", "when"]].itertuples(index=False, name=None))
    assert dataset.config["text_fields"] == ["blurb", "item_user_id", "title"]
    assert set(text_of(dataset, "0000000001", "item_user_id").split()) == {"maker"}


def test_a_csv_may_be_separated_by_semicolons_and_start_with_a_byte_order_mark(tmp_path):
    interactions, items = frames()
    interactions.to_csv(tmp_path / "a.csv", sep=";", index=False, encoding="utf-8-sig")
    import_dataset(tmp_path / "a.csv", write(items, tmp_path / "b.jsonl"), "toy", tmp_path / "dataset")
    assert read(tmp_path)[1] == expected_rows(interactions)


# ---- odd rows --------------------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_used_are_dropped_and_counted(tmp_path):
    interactions, _ = frames()
    odd = interactions.astype({"timestamp": "float64"})
    odd.loc[0, "user_id"] = None
    odd.loc[1, "parent_asin"] = "  "
    odd.loc[2, "user_id"] = "NULL"  # RecBole would read it as missing and drop it without a count
    odd.loc[3, "timestamp"] = np.nan
    repeats = odd.iloc[[10, 11]].assign(timestamp=lambda rows: rows["timestamp"] + [50_000, -50_000])
    report = run(tmp_path, pd.concat([odd, repeats], ignore_index=True))
    assert {key: value for key, value in report.counts.items() if value} == {
        "dropped: interactions without user or item id": 3,
        "dropped: interactions without a time": 1,
        "dropped: repeated (user, item) pairs (the first was kept)": 2,
    }
    kept = interactions.drop(index=range(4))
    kept.loc[11, "timestamp"] -= 50_000
    assert read(tmp_path)[1] == expected_rows(kept)
    assert all(f"{key}" in str(report) for key in report.counts)


@pytest.mark.parametrize("again", [0, 1])
def test_a_data_set_says_that_importing_dropped_repeats(tmp_path, again):
    interactions, _ = frames()
    later = interactions.iloc[:again].assign(timestamp=SECOND * 2 - 1)
    run(tmp_path, pd.concat([interactions, later], ignore_index=True))
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)  # the files are the same
    settings = yaml.safe_load((tmp_path / "dataset/toy/toy.yaml").read_text())
    assert settings.get("repeats_removed") is (True if again else None)
    assert dataset.repeats is bool(again)
    assert Catalogue.from_dataset(dataset.config, dataset.build()[2]).repeats is bool(again)


def test_missing_values_are_those_that_pandas_will_not_read_back():
    assert set(MISSING) == set(STR_NA_VALUES)


def test_text_is_cleaned_for_the_lines_of_the_atomic_file(tmp_path):
    interactions, items = frames()
    nasty = [
        '"',
        "\ttab\tand\r\nline\x00s ",
        'a "b" \u2028 c',
        "'#",
        '"open',
        "NA",
        "x" * 200_000,
        "\u65e5\u672c|\u8a9e",
    ]
    items.loc[: len(nasty) - 1, "title"] = nasty
    items["categories"] = [["a|b", " c\td ", "", None]] * len(items)
    report = run(tmp_path, interactions, items)
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)
    expected = ['"', "tab and line s", 'a "b" c', "'#", '"open', "[PAD]", "x" * 100_000, "\u65e5\u672c|\u8a9e"]
    assert [text_of(dataset, asin, "title") for asin in items["parent_asin"][: len(nasty)]] == expected
    assert list(text_of(dataset, items["parent_asin"][0], "categories")) == ["a b", "c d"]
    assert report.counts["items without text"] == 0


def test_label_columns_are_split_and_lists_of_sentences_are_joined(tmp_path):
    interactions, items = frames()
    sentences = ["A first sentence that is much longer than any label would ever be, or so.", "Second."]
    items["categories"] = [["Beauty > Make-up, and more > Face"]] * len(items)
    items["genre"] = "Horror, Surreal"
    items["tags"] = [[["a"], ["b", ["c"]]]] * len(items)
    items["features"] = [sentences] * len(items)
    items["title"] = "Commas, stay"
    files = write(interactions, tmp_path / "i.csv"), write(items, tmp_path / "m.jsonl")
    import_dataset(*files, "toy", tmp_path / "dataset")
    dataset, _ = read(tmp_path)
    item = items["parent_asin"][0]
    assert text_of(dataset, item, "title") == "Commas, stay"
    assert list(text_of(dataset, item, "categories")) == ["Beauty", "Make-up, and more", "Face"]
    assert list(text_of(dataset, item, "genre")) == ["Horror", "Surreal"]
    assert list(text_of(dataset, item, "tags")) == ["a", "b", "c"]
    assert text_of(dataset, item, "features") == ", ".join(sentences) + "."


def test_items_that_arrive_later_have_the_sentences_that_the_importer_gives_them(tmp_path):
    interactions, items = frames()
    n = len(items)
    sentence = "A sentence that is longer than any label, so that its list is a text and no list of labels."
    items["description"] = [[sentence, f"And a {row}th."] if row % 3 else [] for row in range(n)]
    items["genre"] = [f"Role, {row} > Old, {row}" for row in range(n)]
    items["tags"] = [f"hard, {row % 2}" for row in range(n)]
    items["categories"] = [["Games > Board", f"Cards|{row}"] for row in range(n)]
    items["author"] = [float(row) if row % 2 else None for row in range(n)]  # a number where a text is usual
    run(tmp_path, interactions, items, text_fields=["title", "description", "genre", "tags", "categories", "author"])
    dataset = load(tmp_path)
    dataset.build()  # the item features are tensors from here on
    fields, kinds = dataset.config["text_fields"], field_kinds(dataset)
    expected = dict.fromkeys(("title", "description", "author"), "text")
    assert kinds == expected | dict.fromkeys(("genre", "tags", "categories"), "list")
    texts = FrameTexts(items, fields, kinds, dataset.config["seq_separator"], dataset.config["text_cleaning"])
    rows = dataset.token2id("item_id", items["parent_asin"].to_numpy())
    imported = np.array(item_texts(dataset, fields), dtype=object)[rows].tolist()
    assert texts.sentences == imported
    lists = "Role, 1, Old, 1. hard, 1. Games, Board, Cards 1."
    assert imported[1] == f'Game "1", part | 1 {sentence}, And a 1th.. {lists} 1'


def test_without_an_items_file_items_are_known_by_their_ids(tmp_path):
    interactions, _ = frames()
    clicks = write(interactions, tmp_path / "clicks.csv")
    report = import_dataset(clicks, None, "toy", tmp_path / "dataset")
    assert "known by their ids alone" in str(report)
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)
    assert list(dataset.item_feat) == ["item_id"]
    with pytest.raises(UserError, match=r"\[SASRec\] reads what describes an item.*\[toy\].*--items FILE"):
        item_texts(dataset, dataset.config["text_fields"])


def test_vectors_alone_describe_items(tmp_path):
    interactions, _ = frames()
    clicks = write(interactions, tmp_path / "clicks.csv")
    ids = np.array(sorted(set(interactions["parent_asin"])))
    np.savez(tmp_path / "vectors.npz", item_id=ids, features=np.eye(len(ids), dtype=np.float32))
    report = import_dataset(clicks, None, "toy", tmp_path / "dataset", text_features=tmp_path / "vectors.npz")
    assert "ids alone" not in str(report)
    config = load(tmp_path).config
    assert config["text_encoder"] == "text_features.npz" and config["text_fields"] == []


@pytest.mark.parametrize("option", ["text_fields", "feature_fields"])
def test_columns_of_an_items_file_that_is_not_given_are_refused(tmp_path, option):
    clicks = write(frames()[0], tmp_path / "clicks.csv")
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} title .*--items FILE"):
        import_dataset(clicks, None, "toy", tmp_path / "dataset", **{option: ["title"]})
    assert not (tmp_path / "dataset").exists()


def test_one_file_may_hold_interactions_and_what_describes_the_items(tmp_path):
    interactions, items = frames()
    both = write(interactions.merge(items[["parent_asin", "title"]], on="parent_asin"), tmp_path / "both.csv")
    import_dataset(both, both, "toy", tmp_path / "dataset")
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)
    for row in items.itertuples():
        assert text_of(dataset, row.parent_asin, "title") == row.title


def test_items_and_interactions_that_do_not_match(tmp_path):
    interactions, items = frames()
    items.loc[0, "title"] = "N/A"  # what pandas, and so RecBole, reads as missing
    items.at[0, "categories"] = None
    extra = pd.DataFrame({"parent_asin": ["unused", None, items["parent_asin"][1]], "title": ["x", "y", "again"]})
    given = pd.concat([items.drop(index=2), extra], ignore_index=True)
    report = run(tmp_path, interactions, given)
    assert report.counts == {
        "dropped: item rows without an id": 1,
        "dropped: repeated item rows (the first was kept)": 1,
        "left out: items without interactions": 1,
        "kept: interacted items that the items file lacks": 1,
        "items without text": 2,
    }
    assert "Items without interactions are left out" in str(report) and "recbole-specgr add-items RUN" in str(report)
    dataset, rows = read(tmp_path)
    assert rows == expected_rows(interactions)
    assert set(dataset.field2id_token["item_id"][1:]) == set(interactions["parent_asin"])
    assert text_of(dataset, items["parent_asin"][1], "title") == items["title"][1]


def test_number_ids_match_between_the_files_whatever_their_types(tmp_path):
    interactions, items = frames()
    interactions["parent_asin"] = interactions["parent_asin"].astype(int)
    interactions.loc[0, "parent_asin"] = np.nan  # makes pandas turn the column into 1.0, 2.0, ...
    items["parent_asin"] = items["parent_asin"].astype(int)
    report = run(tmp_path, interactions, items)
    assert "kept: interacted items that the items file lacks" not in report.counts
    assert {row[1] for row in read(tmp_path)[1]} == {str(number) for number in items["parent_asin"]}


def test_ids_that_a_parquet_file_stores_as_a_dictionary_are_read(tmp_path):
    interactions, items = frames()
    run(tmp_path, interactions.astype({"user_id": "category", "parent_asin": "category"}), items)
    assert read(tmp_path)[1] == expected_rows(interactions)


# ---- times -----------------------------------------------------------------------------------------------------------


def utc(*parts):
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([SECOND, SECOND + 1], [SECOND, SECOND + 1]),
        (["1628643414042", "1628643414043"], [1628643414042, 1628643414043]),
        ([1628643414042.0, 1628643414043.0], [1628643414042, 1628643414043]),
        ([1628643414.042, 1628643415.0], [1628643414042, 1628643415000]),
        (["1628643414.042001", "1628643415"], [1628643414042001, 1628643415000000]),
        ([1628643414042000001, 1628643414043000999], [1628643414042000, 1628643414043000]),
        (["2014-07-01", "2014-07-02"], [utc(2014, 7, 1), utc(2014, 7, 2)]),
        (["2014-07-01T12:30:00Z", "2014-07-01 12:30:00"], [utc(2014, 7, 1, 12, 30)] * 2),
        (["2014-07-01T12:30:00+02:00"], [utc(2014, 7, 1, 10, 30)]),
        (["2014-07-01T12:30:00.250"], [utc(2014, 7, 1, 12, 30) * 1000 + 250]),
        ([date(2014, 7, 1)], [utc(2014, 7, 1)]),
        (pd.to_datetime(["2014-07-01 12:30"]), [utc(2014, 7, 1, 12, 30)]),
        (pd.to_datetime(["2014-07-01 12:30"]).tz_localize("Europe/Berlin"), [utc(2014, 7, 1, 10, 30)]),
        (pd.array([5, 7], dtype="Int64"), [5, 7]),
        ([-5, 0, 7], [-5, 0, 7]),
    ],
    ids=str,
)
def test_times_in_any_common_form_become_exact_integers(values, expected):
    found = parse_times(pd.Series(values), "file, column [t]")
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [SECOND, "soon", SECOND],
            r"1 of 3 values are not a number, unlike the others; the first is \[soon\] in data row 2",
        ),
        (["2014-07-01", "yesterday"], r"neither a number nor an ISO 8601 date.*\[yesterday\] in data row 2"),
        ([SECOND, SECOND * 1000, SECOND], r"mixes units: 1 look like ms .*, 2 look like s"),
        ([1.0, np.inf], r"infinite.*data row 2"),
        ([True, False], "true and false"),
        ([1 / 3, 2.0], r"finer than a microsecond.*data row 1"),
    ],
    ids=str,
)
def test_times_that_are_not_times_are_refused_with_the_row(values, message):
    with pytest.raises(UserError, match=r"file, column \[t\].*" + message):
        parse_times(pd.Series(values), "file, column [t]")


def test_dates_from_a_parquet_file_arrive_as_utc_seconds(tmp_path):
    interactions, _ = frames()
    dated = interactions.assign(timestamp=pd.to_datetime(interactions["timestamp"], unit="s"))
    report = run(tmp_path, dated)
    assert read(tmp_path)[1] == expected_rows(interactions)
    assert report.statistics["time_unit"] == "s"


# ---- errors ----------------------------------------------------------------------------------------------------------


def failing(tmp_path, message, error=UserError, **options):
    with pytest.raises(error, match=message):
        run(tmp_path, **options)
    folder = tmp_path / "dataset"
    assert not folder.exists() or not list(folder.iterdir())


def test_missing_columns_are_named_with_those_that_exist(tmp_path):
    interactions, items = frames()
    failing(tmp_path, r"no time column.*user_id, parent_asin, rating\. .*--time-column",
            interactions=interactions.drop(columns="timestamp"))  # fmt: skip
    failing(tmp_path, r"no user or time column.* Name them with --user-column, --time-column\.",
            interactions=interactions.rename(columns={"timestamp": "when exactly", "user_id": "buyer"}))  # fmt: skip
    failing(tmp_path, r"no column \[buyer\]; its columns are user_id", user_column="buyer")
    failing(tmp_path, r"interactions.parquet has no column \[isbn\].* rename the column in one of the",
            item_column="isbn", items=items.rename(columns={"parent_asin": "isbn"}))  # fmt: skip
    failing(
        tmp_path, r"items.parquet has no item column.*--item-column", items=items.rename(columns={"parent_asin": "x"})
    )
    failing(
        tmp_path, r"items.parquet has no column \[blurb\]; its columns are parent_asin, title", text_fields=["blurb"]
    )
    failing(tmp_path, r"no text column.*price.*--text-fields", items=items[["parent_asin", "price"]])


def test_data_that_leaves_nothing_is_refused(tmp_path):
    interactions, items = frames()
    failing(tmp_path, "has no rows", interactions=interactions.iloc[:0])
    failing(tmp_path, r"no row with a user id.*user_id = \[user_id\]", interactions=interactions.assign(user_id=""))
    failing(tmp_path, "None of the .* interacted items .* right two files",
            items=items.assign(parent_asin="other " + items["parent_asin"]))  # fmt: skip
    failing(tmp_path, "No interacted item has text in title", items=items.assign(title=" "), text_fields=["title"])
    failing(tmp_path, "must be texts or numbers", interactions=interactions.assign(user_id=[[1]] * len(interactions)))
    failing(tmp_path, "holds mappings", items=items.assign(title=[{"a": 1}] * len(items)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"user_id,item_id,timestamp\n", "has no rows"),
        ("a.jsonl", b"\n", "is empty"),
        ("a.jsonl", b'[{"user_id": 1}]', "one JSON object a line"),
        ("a.jsonl", b'{"user_id": 1,\n', "Put it right"),
        ("a.csv.gz", b"user_id,item_id,timestamp\na,b,1\n", "could not be read"),
        ("a.csv.gz", gzip.compress(b"user_id,item_id,timestamp\n" + b"a,b,1\n" * 9999)[:-20], "fetch it again"),
        ("a.csv", b'user_id,item_id,timestamp\na,b,1\na,"b,1\n', "Put the line right"),
        ("a.csv", b"user_id,item_id,timestamp\na,b,1\na,b\n", "Put the line right"),
        ("a.csv", "user_id,item_id,timestamp\n\u00e9,b,1\n".encode("latin-1"), "Convert it to UTF-8"),
        ("a.csv", "user_id,item_id,timestamp,\u00e9\na,b,1,c\n".encode("latin-1"), "Convert it to UTF-8"),
        ("a.jsonl", '{"user_id": "\u00e9"}\n'.encode("latin-1"), "line 1 is not UTF-8"),
        ("a.parquet", b"PAR1 not really", "fetch it again"),
        ("a.xlsx", b"x", r"must end in one of .csv, .tsv"),
        ("a", b"x", r"must end in one of .csv, .tsv"),
    ],
)
def test_files_that_are_broken_or_not_known_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    items = write(frames()[1], tmp_path / "items.jsonl")
    with pytest.raises(UserError, match=message) as error:
        import_dataset(tmp_path / name, items, "toy", tmp_path / "dataset")
    assert name in str(error.value)
    assert not (tmp_path / "dataset").exists()


def test_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        import_dataset(tmp_path / "nowhere.csv", tmp_path / "items.csv", "toy", tmp_path / "dataset")
    with pytest.raises(FileNotFoundError, match="is a folder, and a file is wanted"):
        import_dataset(tmp_path, tmp_path / "items.csv", "toy", tmp_path / "dataset")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "ml-100k", "with space"])
def test_names_that_cannot_be_used_are_refused(tmp_path, name):
    failing(tmp_path, "--name", name=name)


def test_an_existing_data_set_is_replaced_on_request_only_and_never_by_a_failure(tmp_path):
    run(tmp_path)
    before = (tmp_path / "dataset/toy/toy.inter").read_text()
    interactions, items = frames(n=40)
    with pytest.raises(UserError, match="--overwrite"):
        run(tmp_path, interactions)
    with pytest.raises(UserError, match="has no rows"):
        run(tmp_path, interactions, items.iloc[:0], overwrite=True)
    assert (tmp_path / "dataset/toy/toy.inter").read_text() == before
    run(tmp_path, interactions, overwrite=True)
    assert read(tmp_path)[1] == expected_rows(interactions)
    assert [path.name for path in (tmp_path / "dataset").iterdir()] == ["toy"]


# ---- text features, property file, script ----------------------------------------------------------------------------


def save_features(path, items, seed=0):
    features = np.random.default_rng(seed).normal(size=(len(items), 4)).astype(np.float16)
    np.savez(path, item_id=np.array(items), features=features)
    return dict(zip(items, features))


def test_text_features_are_copied_for_the_interacted_items_and_named_in_the_property_file(tmp_path):
    items = ["unused", *reversed(frames()[1]["parent_asin"].tolist())]
    given = save_features(tmp_path / "given.npz", items)
    run(tmp_path, text_features=tmp_path / "given.npz")
    dataset, _ = read(tmp_path)
    assert dataset.config["text_encoder"] == "text_features.npz"
    with np.load(tmp_path / "dataset/toy/text_features.npz") as written:
        assert set(written["item_id"]) == set(items) - {"unused"}
        assert written["features"].dtype == np.float16
        for item, row in zip(written["item_id"], written["features"]):
            assert (row == given[item]).all()


def test_text_features_of_the_wrong_items_or_shape_are_refused(tmp_path):
    items = frames()[1]["parent_asin"].tolist()
    file = tmp_path / "given.npz"
    save_features(file, items[:-2])
    failing(tmp_path, f"lacks 2 of the {len(items)} interacted items", text_features=file)
    save_features(file, [*items, items[0]])
    failing(tmp_path, "twice", text_features=file)
    np.savez(file, item_id=np.array(items), features=np.zeros(len(items)))
    failing(tmp_path, r"not \[M\] and \[M, d\]", text_features=file)
    np.savez(file, features=np.zeros((3, 3)))
    failing(tmp_path, "must be an .npz with the arrays item_id and features", text_features=file)
    whole = file.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"text"):
        file.write_bytes(broken)
        failing(tmp_path, "must be an .npz", text_features=file)
    failing(tmp_path, r"nothing\.npz", FileNotFoundError, text_features=tmp_path / "nothing.npz")


def test_the_statistics_are_those_of_the_data_set_that_is_loaded(tmp_path):
    report = run(tmp_path)
    dataset, _ = read(tmp_path)
    assert report.statistics == interaction_statistics(dataset.split)
    text = (tmp_path / "dataset/toy/toy.yaml").read_text()
    assert yaml.safe_load(text)["tune_unseen_share"] == "auto"
    assert yaml.safe_load(text)["text_fields"] == ["title", "categories"]
    for name in ("users", "items", "interactions"):
        assert f"{name} " in text
        assert f"{report.statistics[name]:,}" in text


def test_the_script_prints_the_table_or_one_line_that_says_what_is_wrong(tmp_path, monkeypatch, capsys, request):
    interactions, items = frames()
    arguments = ["import_dataset.py", "--interactions", write(interactions, tmp_path / "i.csv"),
                 "--items", write(items, tmp_path / "m.jsonl"), "--name", "toy", "--output", tmp_path / "dataset",
                 "--text-fields", "title, categories"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
    monkeypatch.setattr(sys, "path", sys.path[:])
    script = str(request.config.rootpath / "scripts" / "import_dataset.py")
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 0
    assert "unseen targets valid / test" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert "--overwrite" in printed.err
    assert not printed.out


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ifdb_played", (1292, 2918, 49490)),
        ("amazon_beauty_2014", (22332, 12086, 198215)),
        ("amazon_games_2018", (50546, 16859, 452989)),
    ],
)
def test_the_real_data_sets_import_and_split_as_they_are(tmp_path, shared_data, name, counts):
    folder = shared_data / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    report = import_dataset(
        folder / "interactions.csv.gz",
        folder / "items.jsonl.gz",
        name,
        tmp_path / "dataset",
        text_features=folder / "text_features.npz",
    )
    assert tuple(report.statistics[key] for key in ("users", "items", "interactions")) == counts
    assert report.counts == {"items without text": 0}
    source = pd.read_csv(folder / "interactions.csv.gz", dtype={"user_id": str, "item_id": str})
    dataset = load(tmp_path, name)
    loaded = dict(zip(source.columns, rows_of(dataset)))
    in_order = [
        pd.DataFrame(table).sort_values(["user_id", "item_id"], ignore_index=True) for table in (loaded, source)
    ]
    pd.testing.assert_frame_equal(*in_order, check_dtype=False)
    seen = set(source.loc[source["timestamp"] < dataset.split.cuts[0], "item_id"])
    assert set(dataset.id2token("item_id", np.flatnonzero(dataset.seen.numpy()))) == seen
    for view in dataset.build():
        assert report.statistics[f"{view.phase}_targets"] == len(view)
    with gzip.open(folder / "items.jsonl.gz", "rt", encoding="utf-8") as lines:
        first = json.loads(next(lines))
    assert text_of(dataset, first["item_id"], "title") == " ".join(first["title"].split())


def test_a_data_set_that_does_not_fit_on_the_disk_is_named_and_the_one_before_stays(tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError, match="No space left") as caught, whole_folder(tmp_path / "new"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
