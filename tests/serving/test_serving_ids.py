"""Serving reads ids, histories and tables by the importer's rules, and says why a list is shorter than asked."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet as parquet
import pytest
from serving_oracles import HISTORIES, content

from recbole_specgr.serving import Recommender
from recbole_specgr.serving.history_files import read_histories, read_items_file
from recbole_specgr.serving.new_items import item_tokens
from recbole_specgr.system.errors import UserError


@pytest.fixture(scope="module")
def specgr(tiny_runs) -> Recommender:
    """Nobody changes its items."""
    return Recommender.load(tiny_runs / "SpecGRPP")


@pytest.fixture(scope="module")
def sasrec(tiny_runs) -> Recommender:
    return Recommender.load(tiny_runs / "SASRec")


def histories_of(path: Path) -> dict[str, list[str]]:
    return {user: history for piece in read_histories(path, 2) for user, history in zip(piece.users, piece.histories)}


# ---- files of histories ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_delimited_histories_have_any_separator_and_mark(tmp_path, separator, mark, pack):
    rows = [("user_id", "note", "history"), ("7", "x", "1 2  3"), ("8", "", ""), ("9", "", "NULL"), ("10", "", "NA 4")]
    path = tmp_path / ("h.csv" if pack is bytes else "h.csv.gz")
    path.write_bytes(pack((mark + "".join(separator.join(row) + "\n" for row in rows)).encode()))
    assert histories_of(path) == {"7": ["1", "2", "3"], "8": [], "9": [], "10": ["", "4"]}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([[1, 2**53 + 1, None], None], [["1", str(2**53 + 1), ""], []]),
        ([[1.0, 2.0], [float("nan")]], [["1", "2"], [""]]),
        (["1 2", None], [["1", "2"], []]),
        ([7, 8], [["7"], ["8"]]),
        ([7.0, None], [["7"], []]),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_numbers_and_nulls_in_histories(tmp_path, kind, history, expected):
    path = tmp_path / f"h.{kind}"
    if kind == "jsonl":
        rows = [{"user": user, "items": row} for user, row in zip([1.0, 2.0], history)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        parquet.write_table(pyarrow.table({"user": [1.0, 2.0], "items": history}), path)
    assert histories_of(path) == dict(zip(["1", "2"], expected))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("h.csv", "history\ni1\ni2 a\0b\n", r"row 2, entry 2: the id \['a\\x00b'\] holds the control character"),
        ("h.jsonl", '{"history": ["i1", "\\ud800"]}\n', r"row 1, entry 2: the id .* U\+D800"),
        ("h.jsonl", '{"history": ["i1", ["i2"]]}\n', r"row 1, entry 2: .* is no id"),
        ("h.jsonl", '{"history": {"i1": 1}}\n', r"row 1, entry 1: .* is no id"),
        ("h.csv", "user,history\nu,i1\n,i2\n", "row 2 has a history, but no user"),
        ("h.csv", 'user,history\nu,"i1\nv,i2\n', "begins in line 2 is never closed"),
        ("h.txt", "i1\n", "the name must end in"),
    ],
)
def test_histories_that_can_not_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        histories_of(tmp_path / name)


def test_a_damaged_parquet_file_is_said(tmp_path):
    path = tmp_path / "h.parquet"
    table = pyarrow.table({"history": [[f"item {n} {m}" for m in range(20)] for n in range(2000)]})
    parquet.write_table(table, path, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[20:60] = b"\xff" * 40
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"h\.parquet could not be read"):
        histories_of(path)


# ---- files of items --------------------------------------------------------------------------------------------------


def test_item_files_are_read_as_the_importer_reads_them(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffi1\r\n\n i2 \n".encode())
    assert read_items_file(tmp_path / "a.txt", "item_id") == ["i1", "i2"]
    (tmp_path / "b.csv").write_text("x;item_id:token\n1;i1\n2;i2\n")
    assert read_items_file(tmp_path / "b.csv", "item_id") == ["i1", "i2"]
    pd.DataFrame({"item_id": [1.0, 2.0]}).to_parquet(tmp_path / "c.parquet")
    assert read_items_file(tmp_path / "c.parquet", "item_id") == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"i1\na\x0bb\n", r"a\.txt, line 2: the id \['a\\x0bb'\] holds"),
        ("a.txt", b"i1\n\xe9\n", "is not UTF-8"),
        ("a.txt", "i1\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", b"item_id,x\ni1,1\n,2\n", r"row 2 has no \[item_id\]"),
    ],
)
def test_item_files_that_can_not_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_items_file(tmp_path / name, "item_id")


def test_tables_of_new_items_have_ids_of_any_type():
    assert item_tokens(pd.DataFrame({"item_id": [1.0, 2.0]}), "item_id") == ["1", "2"]
    assert item_tokens(pd.DataFrame({"item_id": [1, "b", 2**60]}, dtype=object), "item_id") == ["1", "b", str(2**60)]
    with pytest.raises(UserError, match=r"Row 2 of the new items has no \[item_id\]"):
        item_tokens(pd.DataFrame({"item_id": ["a", pd.NA]}), "item_id")


def test_an_item_with_a_control_character_is_refused_and_the_run_still_loads(tiny_runs, tmp_path):
    run = Path(shutil.copytree(tiny_runs / "SpecGRPP", tmp_path / "run"))
    before = content(run)
    recommender = Recommender.load(run)
    frame = pd.DataFrame({"item_id": ["n1", "a\0b"], "title": ["x", "y"], "genre": ["drama"] * 2, "description": "z"})
    with pytest.raises(UserError, match=r"column \[item_id\], row 2: the id \['a\\x00b'\] holds the control character"):
        recommender.add_items(frame)
    assert content(run) == before
    recommender.add_items(frame.assign(item_id=["n1", "a b"]))
    recommender.save()
    assert {"n1", "a b"} <= set(Recommender.load(run).catalogue.item_tokens)


# ---- calls -----------------------------------------------------------------------------------------------------------


def test_calls_read_ids_by_the_same_rules(specgr):
    expected = specgr.recommend([["i1", "i2"]], 5, candidates=[f"i{n}" for n in range(30)], exclude=["i3"])
    found = specgr.recommend([[" i1", b"i2"]], 5, candidates=np.array([f"i{n}\n" for n in range(30)]), exclude=["i3 "])
    assert found.items == expected.items
    assert specgr.recommend([["i1", None, "NaN"]], 3).unknown == 2
    assert specgr.explain(["i1"], " i5 ", 5).item == "i5"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"histories": [["i1"], ["i2", "a\0b"]]}, "History 1, entry 2: the id"),
        ({"histories": [["i1", ["i2"]]]}, "History 0, entry 2: .* is no id"),
        ({"histories": [["i1", True]]}, r"\[True\] is no id"),
        ({"candidates": ["i1", "a\tb"]}, "candidates, entry 2: the id"),
        ({"exclude": ["a\tb"]}, "exclude, entry 1: the id"),
        ({"exclude": [["i1", {}]]}, "exclude, list 0, entry 2: .* is no id"),
        ({"exclude": ["i1", ["i2"]]}, "not a mixture"),
        ({"histories": [["i1", None]], "on_unknown": "error"}, "does not know: an empty entry"),
    ],
)
def test_calls_with_what_is_no_id(given, message, specgr):
    with pytest.raises(UserError, match=message):
        specgr.recommend(**{"histories": [["i1"]], "k": 5, **given})


def test_removing_and_explaining_what_is_no_id(specgr):
    with pytest.raises(UserError, match="items to remove, entry 1: the id"):
        specgr.remove_items(["a\0b"])
    with pytest.raises(UserError, match="item 1: the id"):
        specgr.explain(["i1"], "a\0b")


def test_a_list_is_no_longer_than_what_there_is(sasrec, caplog):
    """A table of 10**9 places would not fit into memory."""
    n_allowed = int(sasrec._state.allowed.sum())
    with caplog.at_level(logging.WARNING):
        found = sasrec.recommend(HISTORIES[:3], 10**9)
    assert found.scores.shape == found.rounds.shape == (3, n_allowed)
    assert found.items == sasrec.recommend(HISTORIES[:3], n_allowed).items
    assert f"3 of 3 lists hold fewer than k [1000000000] items, the shortest {n_allowed}: no more than" in caplog.text
    found = sasrec.recommend(HISTORIES[:3], 10**9, exclude="history")
    for history, items in zip(HISTORIES, found.items):
        assert len(items) == n_allowed - len(set(history) & set(sasrec.recommend([history], n_allowed).items[0]))
    assert sasrec.explain(HISTORIES[0], "i1", 10**9).k == n_allowed


def test_a_search_that_ends_early_is_said_with_its_settings(specgr, caplog):
    n_allowed = int(specgr._state.allowed.sum())
    with caplog.at_level(logging.WARNING):
        found = specgr.recommend(HISTORIES[:20], 70, num_beams=3, draft_size=3)
    lengths = list(map(len, found.items))
    assert min(lengths) < 70 < n_allowed
    assert f"{sum(length < 70 for length in lengths)} of 20 lists hold fewer than k [70] items" in caplog.text
    assert f"although {n_allowed} may be recommended" in caplog.text and "num_beams [3]" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        specgr.recommend(HISTORIES[:20], 5)
    assert "fewer than k" not in caplog.text
