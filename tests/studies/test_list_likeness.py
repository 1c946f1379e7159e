"""How alike lists are, against loops over pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from recbole_specgr.studies.list_likeness import first_codes, mean_cosine, mean_shared_prefix

LISTS = np.array([[1, 2, 3, 4], [2, 5, 7, -1], [6, 9, -1, -1], [8, -1, -1, -1], [9, 3, 2, 1]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def mean_over_pairs(value) -> float:
    """The mean over lists of the mean over their pairs; a list of one item has none."""
    rows = [[item for item in row if item >= 0] for row in LISTS.tolist()]
    return float(np.mean([np.mean([value(*pair) for pair in combinations(row, 2)]) for row in rows if len(row) > 1]))


def test_the_cosine_is_that_of_pairs(rng):
    vectors = rng.normal(size=(10, 4))
    lengths = np.linalg.norm(vectors, axis=1)
    expected = mean_over_pairs(lambda one, other: vectors[one] @ vectors[other] / (lengths[one] * lengths[other]))
    assert mean_cosine(LISTS, vectors) == pytest.approx(expected)


def test_the_shared_prefix_is_that_of_pairs(rng):
    codes = rng.integers(0, 2, size=(10, 3))

    def shared(one: int, other: int) -> int:
        equal = [bool(same) for same in codes[one] == codes[other]]
        return equal.index(False) if False in equal else 3

    assert mean_shared_prefix(LISTS, codes) == pytest.approx(mean_over_pairs(shared))


def test_first_codes_are_compared_with_those_of_the_data():
    codes = np.array([[0, 0], [5, 1], [5, 2], [9, 0], [9, 9], [2, 0], [2, 0], [2, 0], [2, 1], [9, 0]])
    train = np.array([1, 1, 1, 2, 3, 3, 5, 8])  # of the codes 5, 9, 2: 4, 2, 2 of 8
    found = first_codes(LISTS, codes, train)
    listed = LISTS[LISTS >= 0].tolist()
    of_lists = {code: sum(codes[item, 0] == code for item in listed) / len(listed) for code in (2, 5, 9)}
    distance = (abs(of_lists[5] - 0.5) + abs(of_lists[9] - 0.25) + abs(of_lists[2] - 0.25)) / 2
    assert found["prefix_distance"] == pytest.approx(distance)
    assert found["popular_prefix_share"] == pytest.approx(of_lists[5])
    assert found["popular_prefix_share_of_data"] == pytest.approx(0.5)
    same = first_codes(train[:, None], codes, train)
    assert same["prefix_distance"] == 0
