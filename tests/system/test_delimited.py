"""Delimited text with quotes in every place, against pandas where it is exact, and by hand where it is not."""

import gzip

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_specgr.system.delimited import lines_in_fields, read_records
from recbole_specgr.system.errors import UserError


def cells(path, separator=","):
    return [record.cells for record in read_records(path, separator)]


def test_quoted_fields_are_read_with_the_lines_that_they_span(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeffa,b\r\n\r\n"x ""y"", z",1\r\n"two\r\nlines",ab"c\r\n')
    found = list(read_records(tmp_path / "a.csv", ","))
    assert [record.cells for record in found] == [["a", "b"], ['x "y", z', "1"], ["two\r\nlines", 'ab"c']]
    assert [record.line for record in found] == [1, 3, 4]
    assert [record.lines for record in found] == [1, 1, 2]
    assert lines_in_fields(tmp_path / "a.csv", ",") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n"open,1\nx,2\n', r"row that begins in line 2 is never closed"),
        ('a,b\nx,1\n"open,1\ny,2\n"again,3\n', r"begins in line 3 ends in line 5, but neither \[,\]"),
        ('a,b\n"x" y,1\n', r"begins in line 2 ends in line 2"),
        ("a,b\nx,1\ny\n", "line 3 has 1 columns, the first line 2"),
        ("a,b\nx,1,2\n", "line 2 has 3 columns, the first line 2"),
    ],
)
def test_stray_quotes_and_rows_of_another_width_are_errors_with_their_line(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=rf"a\.csv could not be read: .*{message}.*Put the line right"):
        cells(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_utf_16_is_said_with_what_to_do(name, encoding, tmp_path):
    content = "a,b\nx,1\n".encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UserError, match=r"it is UTF-16.*iconv.* -f utf-16 -t utf-8 > utf8\.csv"):
        cells(tmp_path / name)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_the_line_that_is_not_utf_8_is_named(name, tmp_path):
    content = b"a,b\nx,1\n" * 3000 + b"\xe9,1\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(UserError, match=r"line 6,001 is not UTF-8.* iconv.* -f latin1 -t utf-8 > utf8\.csv"):
        cells(tmp_path / name)


def test_a_gzip_file_with_zeros_after_its_end_is_read(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\nx,1\n") + bytes(512))
    assert cells(tmp_path / "a.csv.gz") == [["a", "b"], ["x", "1"]]


_CELL = st.text(st.sampled_from('ab "\n,\u00e9;|'), max_size=6)


@given(st.lists(st.tuples(_CELL, _CELL.filter(bool)), min_size=1, max_size=6))
def test_whatever_pandas_writes_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("written") / "a.csv"
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(path, index=False, lineterminator="\n")
    assert cells(path) == [["a", "b"], *map(list, rows)]
