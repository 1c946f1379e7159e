"""What is loaded by Arrow equals what RecBole loads by itself, setting by setting; so does what is kept of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from recbole.data.dataset import Dataset

from recbole_specgr.data import arrow_reader, loading, loading_cache
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

LOAD = {
    "inter": ["user_id", "item_id", "rating", "timestamp", "device"],
    "item": ["item_id", "title", "price", "kind"],
    "user": ["user_id", "age", "town"],
}
MISSING = ("", "NA", "nan", "NULL", '"null"')


def write(folder, separator: str = "\t", seed: int = 0, quotes: bool = True) -> None:
    """A data set with missing values, quoted fields, ids that only one of the files has, and unused columns."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)

    def file(suffix: str, header: list[str], rows: list[list[str]]) -> None:
        text = "\n".join(separator.join(row) for row in [header, *rows])
        (folder / f"log.{suffix}").write_text(text + "\n\n" * (seed % 2), encoding="utf-8")

    pairs = [(user, item) for user in range(25) for item in rng.permutation(40)[: rng.integers(3, 14)]]
    rng.shuffle(pairs)
    rows = []
    for number, (user, item) in enumerate(pairs):
        rating = MISSING[number % 5] if number % 17 == 0 else f"{rng.integers(1, 50) / 10}"
        device = MISSING[number % 5] if number % 11 == 0 else str(rng.choice(["phone", "web", "téléphone"]))
        name = MISSING[1] if number == 7 else f"u{user}"
        rows.append([name, f"i{item}", rating, device, str(1_600_000_000 + 37 * number), "unused"])
    file(
        "inter", ["user_id:token", "item_id:token", "rating:float", "device:token", "timestamp:float", "x:token"], rows
    )
    quoted = '"a ""quoted"" title, {}"' if quotes else "a plain title {}"
    items = []
    for item in rng.permutation(np.arange(3, 45)):
        title = quoted.format(item) if item % 3 else f'title 5" of {item}'
        items.append([f"i{item}", title, MISSING[item % 5] if item % 4 == 0 else f"{item}.25", f"k{item % 4}"])
    file("item", ["item_id:token", "title:token", "price:float", "kind:token"], items)
    users = [[f"u{user}", str(20 + user), f"town {user % 3}"] for user in rng.permutation(np.arange(1, 28))]
    file("user", ["user_id:token", "age:float", "town:token"], users)


CONFIGURATIONS = {
    "plain": {},
    "only interactions": {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}},
    "all columns": {"load_col": None},
    "columns left out": {"load_col": None, "unload_col": {"inter": ["rating"], "item": ["title", "kind"]}},
    "texts": {"text_fields": ["title"]},
    "k-core": {"user_inter_num_interval": "[5,inf)", "item_inter_num_interval": "[4,inf)"},
    "values": {"val_interval": {"rating": "[1,4.5)", "device": ["phone", "web"]}},
    "known items": {"filter_inter_by_user_or_item": True},
    "unknown items": {"filter_inter_by_user_or_item": False},
    "labels": {"threshold": {"rating": 3}},
    "normalised": {"normalize_field": ["price", "age"]},
    "alias": {"alias_of_user_id": ["town"]},
    "other separator": {"field_separator": ","},
}


def config_of(folder, **settings) -> Config:
    settings = {"data_path": str(folder), "cache_path": str(folder / "cache"), "load_col": LOAD, **settings}
    return Config("SASRec", "log", config_dict={**settings, "use_gpu": False})


def recboles_own(config: Config) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Dataset(config)


def check_equal(ours: InductiveDataset, recbole: Dataset) -> None:
    """Every column of every file, every token's number and every property of a field."""
    expected = recbole.inter_feat
    order = np.lexsort((expected[recbole.time_field], expected[recbole.uid_field]))
    for name in ("inter_feat", "item_feat", "user_feat"):
        one, other = getattr(ours, name), getattr(recbole, name)
        assert (one is None) == (other is None)
        if other is not None:
            other = other.iloc[order] if name == "inter_feat" else other
            assert list(one.columns) == list(other.columns)
            for column in other:
                np.testing.assert_array_equal(one[column].to_numpy(), other[column].to_numpy(), err_msg=column)
                assert one[column].dtype == other[column].dtype
    for name in ("field2type", "field2source", "field2seqlen", "field2bucketnum"):
        assert getattr(ours, name) == getattr(recbole, name)
    assert ours.field2id_token.keys() == recbole.field2id_token.keys()
    for field, tokens in recbole.field2id_token.items():
        assert ours.field2id_token[field].tolist() == tokens.tolist()
        assert ours.field2token_id[field] == recbole.field2token_id[field]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_arrow_loads_what_recbole_loads(configuration, seed, tmp_path, monkeypatch):
    separator = CONFIGURATIONS[configuration].get("field_separator", "\t")
    write(tmp_path / "log", separator, seed)
    config = config_of(tmp_path, **{"field_separator": "\t", **CONFIGURATIONS[configuration]})
    read: list[str] = []
    monkeypatch.setattr(
        loading, "read_columns", lambda *given: read.append(given[0].suffix) or arrow_reader.read_columns(*given)
    )
    ours = InductiveDataset(config)
    assert ".inter" in read and not ours.repeats
    check_equal(ours, recboles_own(config))


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_uneven_files_are_left_to_recbole(end, tmp_path):
    write(tmp_path / "log", quotes=False)
    path = tmp_path / "log" / "log.inter"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3] = "\t".join(lines[3].split("\t")[:5])  # its last cell is missing
    path.write_bytes((end.join(lines) + end).encode())
    assert arrow_reader.read_columns(path, "\t", arrow_reader.column_types(path, "\t", "utf-8")) is None
    config = config_of(tmp_path)
    check_equal(InductiveDataset(config), recboles_own(config))


def test_repeats_keep_the_first_in_time_and_of_equal_times_the_first_line(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    rows = [
        ("a", "x", 5),
        ("a", "y", 1),
        ("a", "x", 2),
        ("b", "x", 9),
        ("b", "x", 9),
        ("a", "z", 3),
        ("b", "y", 8),
        ("a", "x", 2),
    ]
    lines = [f"{user}\t{item}\t{time}\t{number}" for number, (user, item, time) in enumerate(rows)]
    header = "user_id:token\titem_id:token\ttimestamp:float\tline:float"
    (folder / "log.inter").write_text("\n".join([header, *lines]) + "\n")
    loaded = InductiveDataset(config_of(tmp_path, load_col=None, timestamp_split=[3, 9]))
    kept: dict[tuple, tuple] = {}
    for number, (user, item, time) in enumerate(rows):
        if (user, item) not in kept or time < kept[user, item][0]:
            kept[user, item] = (time, number)
    assert sorted(loaded.inter_feat["line"].astype(int)) == sorted(number for _, number in kept.values())
    assert loaded.repeats


def test_a_column_type_that_there_is_not_is_recboles_error(tmp_path):
    write(tmp_path / "log")
    path = tmp_path / "log" / "log.inter"
    path.write_text(path.read_text(encoding="utf-8").replace("rating:float", "rating:number"), encoding="utf-8")
    with pytest.raises(UserError, match="Type number from field rating"):
        InductiveDataset(config_of(tmp_path))


@pytest.mark.parametrize("kept", [False, True])
def test_rows_that_lack_a_user_or_an_item_are_those_that_go(kept, tmp_path, caplog, monkeypatch):
    """RecBole takes labels for positions once rows are gone, and would drop d's row in place of c's. The cache says
    what loading said."""
    monkeypatch.setattr(loading_cache, "WORTH", 0 if kept else 10**9)
    folder = tmp_path / "log"
    folder.mkdir()
    pairs = [("a", "x"), ("", "y"), ("b", "z"), ("c", ""), ("d", "y"), ("e", "w"), ("", "")]
    lines = [f"{user}\t{item}\t{number}" for number, (user, item) in enumerate(pairs, 1)]
    (folder / "log.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *lines]) + "\n")
    (folder / "log.item").write_text("item_id:token\ttitle:token\nx\tX\n\tnone\ny\tY\ny\tYY\nz\tZ\nw\tW\n")
    for _ in range(2):
        caplog.clear()
        loaded = InductiveDataset(config_of(tmp_path, load_col=None, timestamp_split=[3, 5], text_fields=["title"]))
        rows = [
            loaded.field2id_token[field][np.asarray(loaded.inter_feat[field])].tolist()
            for field in ("user_id", "item_id")
        ]
        assert set(zip(*rows, strict=True)) == {("a", "x"), ("b", "z"), ("d", "y"), ("e", "w")}
        titles = loaded.field2id_token["title"][np.asarray(loaded.item_feat["title"]).astype(int)]
        assert dict(zip(loaded.field2id_token["item_id"], titles, strict=True)) == {
            **{"[PAD]": "[PAD]", "x": "X", "y": "Y", "z": "Z", "w": "W"}
        }
        assert "log.inter: 3 rows without user_id or item_id are left out (such as line 3, 5, 8)" in caplog.text
        assert "log.item: 1 rows without item_id are left out (such as line 3)" in caplog.text
