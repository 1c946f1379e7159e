"""Text in the terminal: no line longer than it is wide, and nothing lost."""

import logging
import sys

import pytest

from recbole_specgr.system import log
from recbole_specgr.system.terminal import NARROWEST, NO_TERMINAL, plain_table, terminal_width, wrapped


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "93")
    assert terminal_width() == 93
    monkeypatch.setenv("COLUMNS", "10")
    assert terminal_width() == NARROWEST
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(sys, "__stdout__", None)  # a pipe, say
    assert terminal_width() == NO_TERMINAL


@pytest.mark.parametrize("width", [40, 61, 80, 200])
def test_a_wide_table_is_stacked(width):
    headers = ["model", *(f"a long\nheader {number}" for number in range(9))]
    rows = [[f"row {row}", *(f"{row}.{number:06}" for number in range(9))] for row in range(3)]
    text = plain_table(rows, headers, width=width)
    assert max(map(len, text.splitlines())) <= width
    for row in rows:
        assert all(cell in text for cell in row)
    blocks = text.split("\n\n")
    assert (len(blocks) == 1) == (width == 200) and all("row 2" in block for block in blocks)


def test_a_cell_that_is_too_wide_is_cut():
    text = plain_table([["x" * 200, "y"]], ["a", "b"], width=60)
    assert max(map(len, text.splitlines())) <= 60 and "x…" in text and "y" in text


def test_long_lines_are_broken_at_blanks():
    text = wrapped("12:00:00  " + "word " * 30 + "/a/path/" + "x" * 50, 60, indent=10)
    lines = text.splitlines()
    assert all(len(line) <= 60 or "/a/path/" in line for line in lines) and lines[1].startswith(" " * 10)
    assert wrapped("short\nlines", 60) == "short\nlines"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_log_fits_a_terminal_and_is_whole_elsewhere(terminal, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    handler = log.ConsoleHandler()
    handler.setFormatter(logging.Formatter("12:00:00  %(message)s"))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
        handler.emit(logging.LogRecord("", logging.INFO, "", 0, "word " * 30, None, None))
    shown = capsys.readouterr().out
    assert (max(map(len, shown.splitlines())) <= 60) == terminal
