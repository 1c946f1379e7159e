"""Ids of users and items: what each kind of value reads as, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from pandas._libs.parsers import STR_NA_VALUES

from recbole_specgr.data.ids import LONGEST, check_ids, read_id, read_ids
from recbole_specgr.system.errors import UserError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("B00X", "B00X"),
        ("  B00X\n", "B00X"),
        ("two  words", "two  words"),
        ("007", "007"),
        ("12.0", "12.0"),  # a text is what it says
        ("\u5546\u54c1 1", "\u5546\u54c1 1"),
        (12, "12"),
        (12.0, "12"),
        (np.float32(12), "12"),
        (np.int64(2**63 - 1), str(2**63 - 1)),
        (np.uint64(2**64 - 1), str(2**64 - 1)),
        (2**53 + 1, "9007199254740993"),
        (float(2**53), "9007199254740992"),
        (-3.0, "-3"),
        (1.5, "1.5"),
        (np.float32(0.1), "0.1"),
        (b"B00X", "B00X"),
        (None, ""),
        (float("nan"), ""),
        (pd.NA, ""),
        (pd.NaT, ""),
        ("[PAD]", ""),  # RecBole's padding item
        *((text, "") for text in sorted(STR_NA_VALUES)),
    ],
    ids=ascii,
)
def test_what_an_id_reads_as(value, expected):
    assert read_id(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\0b", r"\['a\\x00b'\] holds the control character U\+0000"),
        ("a\tb", r"control character U\+0009"),
        ("a\u2028b", r"control character U\+2028"),
        ("a\x85b", r"control character U\+0085"),
        ("a\ud800", r"control character U\+D800"),
        ("x" * 200_000, "has 200,000 characters"),
        (10**4000, "more than 1,000 digits"),
        (10**LONGEST, "has 1,001 characters"),
        (float("inf"), "infinite"),
        (2.0**60, "has lost its last digits"),
        (True, "truth values"),
        (np.bool_(False), "truth values"),
        ([1], "lists"),
        ([[1], [1, 2]], "lists"),
        ({"a": 1}, "mappings"),
        (np.array(["a"]), "lists"),
        (b"\xff", "not UTF-8"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_no_id(value, message):
    with pytest.raises(UserError, match=message) as error:
        read_id(value)
    str(error.value).encode("utf-8")  # it can be printed
    assert len(str(error.value)) < 300


def test_a_list_of_ids_names_the_place_of_what_is_wrong():
    assert read_ids(["a", 1, None], "file, line") == ["a", "1", ""]
    with pytest.raises(UserError, match=r"^file, line 2: the id \['a\\x01'\]"):
        read_ids(["a", "a\x01", "b"], "file, line")


@pytest.mark.parametrize("token", [" a", "NA", "[PAD]", "a\0"])
def test_tokens_of_a_data_set_are_ids(token):
    check_ids(["a", "b c"], "shop")
    with pytest.raises(UserError, match=r"^shop: the id"):
        check_ids(["a", token], "shop")
