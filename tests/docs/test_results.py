"""The numbers on the page of results are those of the boards."""

from __future__ import annotations

import csv
import re

import pytest
from conftest import ROOT

BEAUTY, GAMES, MOVIES = "amazon_beauty_2014", "ifdb_played", "ml-100k"
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
NOT_THERE = "(not on the board)"


def of_boards(dataset: str) -> list[list[float]]:
    """Every row of the data set's boards: all its numbers."""
    files = (ROOT / "leaderboards" / dataset / "tables").glob("*.csv")
    boards = [file for file in files if re.fullmatch(r"[0-9a-f]{16}", file.stem)]
    rows = [row for board in boards for row in csv.DictReader(board.read_text(encoding="utf-8").splitlines())]
    return [[float(value) for value in row.values() if re.fullmatch(r"\d+\.\d+", value)] for row in rows]


def lines_of(heading: str) -> list[list[str]]:
    """The cells of the lines of the first table below a heading that have numbers of four digits."""
    below = PAGE.split(f"\n## {heading}\n")[1]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table
    lines = [line.strip("| ").split("|") for line in table[0].splitlines() if re.search(r"0\.\d{4}", line)]
    return [cells for cells in lines if NOT_THERE not in cells[0]]


@pytest.mark.parametrize(
    ("heading", "columns", "dataset"),
    [
        ("Lists that may hold what users have had", slice(1, 5), BEAUTY),
        ("Lists that may hold what users have had", slice(5, 9), GAMES),
        ("Without what users have had", slice(1, 5), GAMES),
        ("Without what users have had", slice(5, None), BEAUTY),
        ("Amazon Beauty", slice(1, None), BEAUTY),
        ("Interactive fiction", slice(1, None), GAMES),
        ("MovieLens 100k", slice(1, None), MOVIES),
        ("Beside published numbers", slice(1, 2), BEAUTY),
    ],
)
def test_a_line_of_a_table_has_the_numbers_of_a_row_of_the_board(heading, columns, dataset):
    rows = of_boards(dataset)
    lines = [cells for cells in lines_of(heading) if re.search(r"\d\.\d{4}", " ".join(cells[columns]))]
    assert len(lines) > 4
    for cells in lines:
        numbers = [float(number) for number in re.findall(r"\d\.\d{4}", " ".join(cells[columns])) if float(number)]
        found = [all(any(abs(number - value) < 5.1e-5 for value in row) for number in numbers) for row in rows]
        assert numbers and any(found), cells
