"""Values that used to change or vanish on import: each stays what it is, or the import says what is wrong."""

import csv
import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as parquet
import pytest

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.importing.importer import import_dataset
from recbole_specgr.importing.tables import SPANNED, read_table
from recbole_specgr.importing.timestamps import parse_times
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

LARGE = 2**53  # from here on float64 has not every whole number
SECOND = 1_600_000_000


def interactions(n=20) -> list[dict]:
    return [{"user_id": f"u{row % 4}", "item_id": f"i{row // 4}", "timestamp": SECOND + row} for row in range(n)]


def items(n=5) -> list[dict]:
    return [{"item_id": f"i{row}", "title": f"Item {row}"} for row in range(n)]


def write_json(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path, inter=None, item=None, **options):
    """Import files, or rows that are written as JSON lines."""
    inter, item = (
        write_json(tmp_path / name, rows) if isinstance(rows, list) else rows
        for name, rows in (("i.jsonl", inter or interactions()), ("m.jsonl", item or items()))
    )
    return import_dataset(inter, item, "toy", tmp_path / "dataset", **options)


def written(tmp_path, kind="inter") -> list[dict[str, str]]:
    """The rows of an atomic file, read by Python's own reader."""
    with open(tmp_path / f"dataset/toy/toy.{kind}", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def load(tmp_path, **settings):
    return InductiveDataset(Config("SASRec", "toy", config_dict={"data_path": str(tmp_path / "dataset"), **settings}))


# ---- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_large_ids_stay_apart_beside_a_null(tmp_path, kind):
    rows = [*interactions(), {"user_id": "u9", "item_id": None, "timestamp": SECOND}]
    for row in rows[:-1]:
        row["item_id"] = LARGE + 1 + int(row["item_id"][1:])
    if kind == "jsonl":
        source = write_json(tmp_path / "i.jsonl", rows)
    else:
        source = tmp_path / "i.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), source)
    report = run(tmp_path, source, [{"item_id": LARGE + 1 + n, "title": f"Item {n}"} for n in range(5)])
    assert {row["item_id:token"] for row in written(tmp_path)} == {str(LARGE + 1 + n) for n in range(5)}
    assert report.counts["dropped: interactions without user or item id"] == 1
    assert "kept: interacted items that the items file lacks" not in report.counts


def test_ids_that_pandas_kept_as_an_index_are_read(tmp_path):
    pd.DataFrame(interactions()).set_index("user_id").to_parquet(tmp_path / "i.parquet")
    run(tmp_path, tmp_path / "i.parquet")
    assert [row["user_id:token"] for row in written(tmp_path)] == [row["user_id"] for row in interactions()]


def test_ids_of_all_kinds_in_one_column_stay_what_they_are(tmp_path):
    ids = [LARGE + 1, LARGE + 2, "x", 1.5, 1, 2**64]
    rows = [{"user_id": f"u{n % 2}", "item_id": item, "timestamp": SECOND + n} for n, item in enumerate(ids * 2)]
    run(tmp_path, rows, [{"item_id": item, "title": "t"} for item in ids])
    assert {row["item_id:token"] for row in written(tmp_path)} == set(map(str, ids))


def test_ids_in_two_writings_are_said(tmp_path, caplog):
    """As pandas writes a column of whole numbers once with a gap and once without."""
    rows = [{**row, "user_id": f"{number % 4}" + ".0" * (number % 8 > 5)} for number, row in enumerate(interactions())]
    for row in rows:
        row["item_id"] = row["item_id"].removeprefix("i") + ".0"
    plain = [{**row, "item_id": row["item_id"].removeprefix("i")} for row in items()]
    with pytest.raises(
        UserError, match=r"None of the 5 interacted items .*: 5 are written with \.0 in one of the files"
    ):
        run(tmp_path, rows, plain)
    run(tmp_path, rows, [{"item_id": "0.0", "title": "Item 0"}, *plain[1:]])
    assert "column [user_id]: 2 ids stand there in two writings, such as 2.0 and 2, and are two each" in caplog.text
    assert "4 are written with .0 in one of the files only" in caplog.text
    assert len({row["user_id:token"] for row in written(tmp_path)}) == 6


def test_ids_beyond_int64_in_parquet(tmp_path):
    table = pyarrow.table(
        {
            "user_id": pyarrow.array(["a", "b", "a", "b"]),
            "item_id": pyarrow.array([2**64 - 1, 2**64 - 2, None, 2**64 - 2], pyarrow.uint64()),
            "timestamp": [SECOND, SECOND + 1, SECOND + 2, SECOND + 3],
        }
    )
    parquet.write_table(table, tmp_path / "i.parquet")
    run(tmp_path, tmp_path / "i.parquet", [{"item_id": 2**64 - 1, "title": "t"}])
    assert {row["item_id:token"] for row in written(tmp_path)} == {str(2**64 - 1), str(2**64 - 2)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("i\0", r"data row 7: the id \['i\\x00'\] holds the control character"),
        ("i\ud800", r"data row 7: the id \['i\\ud800'\] holds"),
        ("x" * 200_000, r"data row 7: the id .* has 200,000 characters"),
        (int("9" * 4000), r"data row 7: a number of more than 1,000 digits"),
        (True, r"data row 7: \[True\] is no id"),
        ([1], r"data row 7: \[\[1\]\] is no id"),
    ],
    ids=["nul", "surrogate", "long", "digits", "bool", "list"],
)
@pytest.mark.parametrize("field", ["user_id", "item_id"])
def test_what_is_no_id_is_refused_with_its_row(tmp_path, field, wrong, message):
    rows = interactions()
    rows[6][field] = wrong
    with pytest.raises(UserError, match=rf"i\.jsonl, column \[{field}\], {message}"):
        run(tmp_path, rows)
    assert not (tmp_path / "dataset").exists()


def test_a_data_set_of_elsewhere_with_ids_that_are_none_is_refused(tiny_dataset):
    for suffix, before in (("inter", "\t"), ("item", "\n")):
        path = Path(tiny_dataset["data_path"]) / f"tiny/tiny.{suffix}"
        path.write_text(path.read_text().replace(f"{before}i1\t", f"{before}i1\x01\t"))
    with pytest.raises(UserError, match=r"tiny, field \[item_id\]: the id \['i1\\x01'\] holds the control character"):
        InductiveDataset(Config("SASRec", "tiny", config_dict=tiny_dataset))


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["2014-05-13 16:53:20 UTC"], [1_400_000_000]),
        (["2014-05-13 16:53:20UTC", "2014-05-13 16:53:21 GMT"], [1_400_000_000, 1_400_000_001]),
        (pd.array([1_400_000_000_123_456_789, None], dtype="Int64").dropna(), [1_400_000_000_123_456]),
        (pd.Series([1_400_000_000_123_456_789] * 2, dtype=object), [1_400_000_000_123_456] * 2),
        (["1400000000123456789", "1400000000123457789"], [1_400_000_000_123_456, 1_400_000_000_123_457]),
        (np.array([1_400_000_000], dtype=np.uint64), [1_400_000_000]),
        ([-(2**63), -(2**63) + 1000], [-9_223_372_036_854_776, -9_223_372_036_854_775]),
        (pd.Categorical(["1400000000", "1400000001"]), [1_400_000_000, 1_400_000_001]),
        (
            [100_000_000.5, 100_000_001.0],
            [100_000_000_500, 100_000_001_000],
        ),  # seconds from March 1973 on are told from their milliseconds
        ([1_628_643_414_042.5], [1_628_643_414_042_500]),
        (["2014-07", "2014-07-01T12"], [1_404_172_800, 1_404_216_000]),  # as refused numbers should be written
        (["2014-07-01T12:30:00.007"], [1_404_217_800_007]),
    ],
    ids=str,
)
def test_times_that_are_read(values, expected):
    assert parse_times(pd.Series(values), "file, column [t]").tolist() == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, 2**63], dtype=np.uint64), r"beyond 64 bits.*\[9223372036854775808\] in data row 2"),
        (["1", str(2**63)], r"beyond 64 bits.*\[9223372036854775808\] in data row 2"),
        (["1", "1" * 30], "too large to be exact"),
        (pd.Series([1, 2**63], dtype=object), "beyond 64 bits"),
        (pd.Series([1, 10**4000], dtype=object), "beyond 64 bits"),
        (pd.Series([SECOND, True], dtype=object), r"neither numbers nor dates; the first is \[True\] in data row 2"),
        (pd.Series([SECOND, [1]], dtype=object), r"neither numbers nor dates; the first is \[\[1\]\]"),
        (["true", "1"], r"not a number, unlike the others; the first is \[true\]"),
        (pd.Series([LARGE + 1, 0.5], dtype=object), "too large to stand beside other values exactly"),
        ([float(LARGE + 2), 1.0], "too large to be exact"),
        ([20200101, 20201231], r"dates written as whole numbers, such as 20200101.* seconds.*as 2020-01-01\."),
        (["20200101", "20200229"], "dates written as whole numbers"),
        ([20200101.0, 20200229.0], "dates written as whole numbers"),
        ([202001, 202012, 201907], r"such as 202001, .* for seconds\. Write them as texts, such as 2020-01\."),
        ([2020010123, 2020022900], r"for seconds.* as 2020-01-01T23\."),
        ([202001012359, 202002290000], r"for milliseconds.* as 2020-01-01T23:59\."),
        ([20230101120000, 20221231235959], r"such as 20230101120000, .* milliseconds.* as 2023-01-01T12:00:00\."),
        (["20230101120000.0", "20221231235959"], r"dates written as whole numbers"),
        ([20230101120000007], r"for microseconds.* as 2023-01-01T12:00:00\.007\."),
        ([day * 86_400 + 0.25 for day in range(11)], rf"fractions.* \[{10 * 86_400}\.25\] in data row 11.*for seconds"),
        ([0.000001, 5.5], r"Kept in whole microseconds, they would be taken for seconds"),
        ([0.5, 99_999_999.999], r"Kept in whole milliseconds, they would be taken for seconds"),
        (["1970-01-01T00:00:00.25", "1972-12-31"], r"\[1972-12-31\] in data row 2\. Kept in whole milliseconds"),
        (pd.to_datetime(["1970-01-02 00:00:00.000001"]), "Kept in whole microseconds, they would be taken for"),
        (np.array(["2014-07-01", "9999-12-31"], dtype="M8[us]"), r"so far from 1970 that all s would be taken for ms"),
        (["2014-05-13 16:53:20 PST"], r"neither a number nor an ISO 8601 date such as"),
    ],
    ids=ascii,
)
def test_times_that_would_be_wrong_are_refused(values, message):
    with pytest.raises(UserError, match=r"file, column \[t\]: .*" + message):
        parse_times(pd.Series(values), "file, column [t]")


@pytest.mark.parametrize(
    "values",
    [
        range(1, 300_000),  # the number of the row
        range(200_101, 200_114),  # 200113 is no month
        range(0, 86_400 * 3000, 86_400),  # days since the first, in seconds
        [20_230_101, 20_230_229],  # no such day
        [202_301_011_260, 202_301_011_200],
        [20_230_101_240_000, 20_230_101_120_000],
        [2_023_010_124],
        [1_700_000_000, 1_767_225_600],
        [1_672_531_200_000, 1_767_225_600_000],
        [1_672_531_200_000_000, 1_767_225_600_000_000],
        [201_412, 2_014_123],  # of two lengths
        [210_112, 250_001],  # no years that anyone has data of
    ],
    ids=str,
)
def test_whole_numbers_that_are_no_dates_are_read_as_they_are(values):
    values = list(values)
    assert parse_times(pd.Series(values), "file, column [t]").tolist() == values
    assert parse_times(pd.Series(values).astype(str), "file, column [t]").tolist() == values


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_nanoseconds_beside_a_null_keep_their_microseconds(tmp_path, kind):
    rows = interactions()
    for number, row in enumerate(rows):
        row["timestamp"] = (SECOND + number) * 10**9 + 123_456_789
    rows[3]["timestamp"] = None
    frame = pd.DataFrame(rows).astype({"timestamp": "Int64"})
    source = tmp_path / f"i.{kind}"
    {"csv": lambda: frame.to_csv(source, index=False), "parquet": lambda: frame.to_parquet(source)}.get(
        kind, lambda: write_json(source, rows)
    )()
    report = run(tmp_path, source)
    assert [int(row["timestamp:float"]) for row in written(tmp_path)] == [
        (SECOND + number) * 10**6 + 123_456 for number in range(20) if number != 3
    ]
    assert report.counts["dropped: interactions without a time"] == 1


# ---- quotes ----------------------------------------------------------------------------------------------------------


def csv_lines(n=70) -> list[str]:
    return ["user_id,item_id,timestamp", *(f"u{row % 7},i{row // 7},{SECOND + row}" for row in range(n))]


@pytest.mark.parametrize("damaged", [[3], [3, 10], list(range(1, 70, 7))])
def test_stray_quotes_do_not_swallow_rows_of_a_csv_file(tmp_path, damaged):
    lines = csv_lines()
    for row in damaged:
        lines[row] = '"' + lines[row]
    (tmp_path / "i.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(
        UserError, match=rf"i\.csv could not be read: .* begins in line {damaged[0] + 1} .*written twice"
    ):
        run(tmp_path, tmp_path / "i.csv", [{"item_id": f"i{n}", "title": "t"} for n in range(10)])
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("suffix", ["item", "inter"])
def test_stray_quotes_do_not_swallow_rows_of_atomic_files(tiny_dataset, suffix):
    path = Path(tiny_dataset["data_path"]) / f"tiny/tiny.{suffix}"
    lines = path.read_text().splitlines()
    place = 1 if suffix == "item" else 0
    for row in (5, 25):
        cells = lines[row].split("\t")
        cells[place] = '"' + cells[place]
        lines[row] = "\t".join(cells)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=rf"tiny\.{suffix} could not be read: .* begins in line 6 ends in line 26"):
        InductiveDataset(Config("SASRec", "tiny", config_dict=tiny_dataset))


def test_lines_inside_quoted_fields_are_counted(tmp_path, caplog):
    text = 'item_id,title\ni0,"One\ntwo\nthree"\ni1,"a ""b"", c"\ni2,x\ni3,y\ni4,z\n'
    (tmp_path / "m.csv").write_text(text)
    report = run(tmp_path, item=tmp_path / "m.csv")
    assert report.counts[SPANNED] == 2 and SPANNED in str(report)
    assert [row["title:token"] for row in written(tmp_path, "item")] == ["One two three", 'a "b", c', "x", "y", "z"]
    with caplog.at_level(logging.WARNING):
        load(tmp_path)
    assert "quoted fields put" not in caplog.text  # what the importer writes has a line a row


def test_quoted_files_and_plain_ones_give_the_same(tmp_path):
    (tmp_path / "plain.csv").write_text("\n".join(csv_lines()) + "\n")
    with open(tmp_path / "quoted.csv", "w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(line.split(",") for line in csv_lines())
    columns = ["timestamp", "user_id", "item_id"]
    plain, quoted = (read_table(tmp_path / f"{name}.csv", columns, ["user_id"]) for name in ("plain", "quoted"))
    pd.testing.assert_frame_equal(plain, quoted)
    assert plain["item_id"].tolist() == [line.split(",")[1] for line in csv_lines()[1:]]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "i.csv").write_text("user_id,item_id,item_id,timestamp\nu,1,2,3\n")
    with pytest.raises(UserError, match=r"has 2 columns named \[item_id\]"):
        run(tmp_path, tmp_path / "i.csv")


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_file_that_is_cut_within_its_last_line_is_noticed(tmp_path, caplog, quote):
    text = "\n".join(csv_lines()).replace("u0", f"{quote}u0{quote}")
    for end, warned in (("", False), ("\n", False), (None, True)):
        (tmp_path / "i.csv").write_text(text[:-3] if end is None else text + end)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            read_table(tmp_path / "i.csv", ["user_id", "timestamp"])
        assert ("it may be cut short" in caplog.text) == warned
    assert "[1600000] in [timestamp] is shorter than all others" in caplog.text


@pytest.mark.parametrize("name", ["i.csv", "i.tsv", "i.jsonl"])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_utf_16_and_zeros_after_a_gzip_file(tmp_path, name, end):
    frame, path = pd.DataFrame(interactions()), tmp_path / (name + end)
    if name.endswith("jsonl"):
        text = frame.to_json(orient="records", lines=True)
    else:
        text = frame.to_csv(index=False, sep="\t" if name == "i.tsv" else ",")
    pack = gzip.compress if end else bytes
    path.write_bytes(pack(text.encode("utf-16")))
    with pytest.raises(UserError, match=r"it is UTF-16, not UTF-8\. Convert it, for example: .*iconv"):
        run(tmp_path, path)
    path.write_bytes(pack(text.encode()) + (bytes(1000) if end else b""))
    run(tmp_path, path)
    assert len(written(tmp_path)) == 20


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"item_id": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2 is JSON with lists or objects nested too deep"),
        (
            '{"item_id": "i0", "title": ' + "[" * 300 + "]" * 300 + "}",
            r"column \[title\]: a cell holds lists nested more",
        ),
        ('{"item_id": ' + "9" * 5000 + "}", "line 2 is JSON with a number of too many digits"),
    ],
    ids=["deep", "lists", "digits"],
)
def test_json_that_python_can_not_take_is_said(tmp_path, line, message):
    path = tmp_path / "m.jsonl"
    path.write_text('{"item_id": "i1", "title": "x"}\n' + line + "\n")
    with pytest.raises(UserError, match=message):
        run(tmp_path, item=path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file, ids: np.savez(file, item_id=ids, features=np.ones((5, 0))), "vectors of width 0"),
        (lambda file, ids: np.save(file, np.ones((5, 3))), r"is one array, as numpy\.save writes it"),
        (lambda file, ids: np.savez(file, item_id=np.array(["a\0b"] * 5), features=np.ones((5, 3))), "U\\+0000"),
        (lambda file, ids: np.savez(file, item_id=ids, features=np.ones((5, 3), dtype=int)), "not floating point"),
        (lambda file, ids: np.savez(file, item_id=["i0", "", "i2", "i3", "i4"], features=np.ones((5, 3))), "row 2"),
    ],
    ids=["width", "npy", "nul", "integers", "empty"],
)
def test_text_vectors_that_can_not_be(tmp_path, write, message):
    with open(tmp_path / "v.npz", "wb") as file:
        write(file, np.array([f"i{n}" for n in range(5)]))
    with pytest.raises(UserError, match=rf"v\.npz.*{message}"):
        run(tmp_path, text_features=tmp_path / "v.npz")
    assert not (tmp_path / "dataset").exists()


def test_text_vectors_of_numbered_items_are_found_whatever_holds_the_numbers(tmp_path):
    numbered = [{**row, "item_id": int(row["item_id"][1:])} for row in interactions()]
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for kind in (np.int64, np.float64, np.str_, np.bytes_):
        ids = np.arange(5)[::-1].astype(np.int64).astype(kind)
        np.savez(tmp_path / "v.npz", item_id=ids, features=vectors)
        options = {"text_features": tmp_path / "v.npz", "overwrite": True}
        run(tmp_path, numbered, [{"item_id": n, "title": "t"} for n in range(5)], **options)
        with np.load(tmp_path / "dataset/toy/text_features.npz") as found:
            for item, row in zip(found["item_id"], found["features"]):
                np.testing.assert_array_equal(row, vectors[4 - int(item)])


# ---- texts and features ----------------------------------------------------------------------------------------------


def test_texts_of_any_language_arrive_whole(tmp_path):
    titles = [
        "\u5546\u54c1\u4e00",
        "\u041a\u043d\u0438\u0433\u0430 1984",
        "caf\u00e9",
        "\u0e2b\u0e19\u0e31\u0e07",
        "half \ud800 x",
    ]
    run(tmp_path, item=[{"item_id": f"i{n}", "title": title} for n, title in enumerate(titles)])
    found = {row["item_id:token"]: row["title:token"] for row in written(tmp_path, "item")}
    assert [found[f"i{n}"] for n in range(5)] == [*titles[:4], "half x"]


ATOMIC = (
    "item_id:token\tmovie_title:token_seq\tclass:token_seq\tyear:float\tmaker:token\tsizes:float_seq\n"
    "i0\tToy Story\tAnimation Children's Comedy\t1995\tPix, Inc\t1.5 2\n"
    "i1\tHeat\tCrime\t\t\t\n"
    "i2\t\tDrama Crime\t1984.5\tBBC\t3\n"
)


def test_columns_of_atomic_files_keep_their_kinds(tmp_path):
    (tmp_path / "m.item").write_text(ATOMIC)
    run(tmp_path, item=tmp_path / "m.item", feature_fields=["class:token_seq", "year:float", "sizes:float_seq"])
    header = (tmp_path / "dataset/toy/toy.item").read_text().splitlines()[0]
    assert header == "item_id:token\tmovie_title:token\tclass:token_seq\tyear:float\tsizes:float_seq"
    rows = {row["item_id:token"]: row for row in written(tmp_path, "item")}
    assert rows["i0"]["movie_title:token"] == "Toy Story"
    assert rows["i0"]["class:token_seq"].split("|") == ["Animation", "Children's", "Comedy"]
    assert [rows[f"i{n}"]["year:float"] for n in range(3)] == ["1995", "", "1984.5"]
    assert rows["i0"]["sizes:float_seq"] == "1.5|2"
    dataset = load(tmp_path)
    dataset.build()
    item = dataset.token2id("item_id", "i2")
    genres = dataset.item_feat["class"][item].numpy()
    assert dataset.id2token("class", genres[genres > 0]).tolist() == ["Drama", "Crime"]
    assert float(dataset.item_feat["year"][item]) == 1984.5


def test_atomic_files_written_here_are_read_back_the_same(tmp_path):
    labels = [["a b", "c"], ["c"], [], ["d", "a b"], ["x"]]
    run(tmp_path, item=[{"item_id": f"i{n}", "title": "t t", "tags": tags} for n, tags in enumerate(labels)])
    first = written(tmp_path, "item")
    for kind in ("inter", "item"):
        (tmp_path / f"copy.{kind}").write_bytes((tmp_path / f"dataset/toy/toy.{kind}").read_bytes())
    import_dataset(tmp_path / "copy.inter", tmp_path / "copy.item", "toy", tmp_path / "dataset", overwrite=True)
    assert written(tmp_path, "item") == first


@pytest.mark.parametrize(("prices", "said"), [([9.78, 3.5, 8, 2.25, 7.5], True), ([9.99, 9.99, 5, 5, 5], False)])
def test_a_feature_of_numbers_that_no_two_items_share_is_said(tmp_path, caplog, prices, said):
    rows = [{**row, "price": price, "maker": f"m{price}"} for row, price in zip(items(), prices, strict=True)]
    run(tmp_path, item=rows, feature_fields=["price", "maker"])
    assert ("feature [price]: its values are numbers, 5 different ones of 5 items" in caplog.text) == said
    assert "maker" not in caplog.text


def test_a_float_that_is_none_is_said(tmp_path):
    (tmp_path / "m.item").write_text(ATOMIC.replace("1984.5", "old"))
    with pytest.raises(UserError, match=r"column \[year:float\], item 3: \[old\] is no number"):
        run(tmp_path, item=tmp_path / "m.item", feature_fields=["year:float"])
