"""Intervals, paired tests and Holm's correction, against scipy and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recbole_specgr.evaluation.significance import bootstrap_interval, by_user, holm, paired_test


def test_by_user_sums_the_rows_of_a_user():
    values = np.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(by_user(values, np.array(["b", "a", "b", "c"])), [[2, 3], [4, 6], [6, 7]])


def test_interval_agrees_with_scipy_on_one_row_a_user():
    values = np.random.default_rng(1).exponential(size=400)
    ours = bootstrap_interval(values[:, None], np.ones((400, 1)), resamples=9999)[:, 0]
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(2)).confidence_interval
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_interval_is_the_exact_one_where_all_samples_can_be_listed():
    sums, counts = np.array([0.0, 1.0, 3.0, 2.0]), np.array([1.0, 1.0, 3.0, 5.0])
    every = [sums[list(draw)].sum() / counts[list(draw)].sum() for draw in itertools.product(range(4), repeat=4)]
    interval = bootstrap_interval(sums[:, None], counts[:, None], level=0.8, resamples=200_000)[:, 0]
    np.testing.assert_allclose(interval, np.quantile(every, [0.1, 0.9]), atol=0.02)


def test_interval_of_rows_that_hang_together_is_wider():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(50), 20)
    values = (rng.normal(size=50)[user] + 0.1 * rng.normal(size=1000))[:, None]
    width = {}
    for name, groups in (("user", user), ("row", np.arange(1000))):
        low, high = bootstrap_interval(by_user(values, groups), by_user(np.ones_like(values), groups))[:, 0]
        width[name] = high - low
        assert low < values.mean() < high
    assert width["user"] > 3 * width["row"]


def test_interval_of_a_column_without_rows_is_nan():
    sums, counts = np.zeros((5, 2)), np.array([[1.0, 0.0]] * 5)
    np.testing.assert_array_equal(bootstrap_interval(sums, counts), [[0, np.nan], [0, np.nan]])


def test_interval_in_chunks_is_the_same_kind(monkeypatch):
    rng = np.random.default_rng(3)
    sums, counts = rng.random((30, 2)), np.ones((30, 2))
    whole = bootstrap_interval(sums, counts)
    monkeypatch.setattr("recbole_specgr.evaluation.significance._CHUNK", 1000)
    parts = bootstrap_interval(sums, counts)
    assert np.array_equal(parts, bootstrap_interval(sums, counts))
    np.testing.assert_allclose(parts, whole, atol=0.02)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_small_paired_tests_are_exact(differences):
    differences = np.array(differences, dtype=float)
    signs = list(itertools.product([1, -1], repeat=len(differences)))
    extreme = [abs(np.dot(sign, differences)) >= abs(differences.sum()) - 1e-9 for sign in signs]
    assert paired_test(differences[:, None])[0] == pytest.approx(np.mean(extreme))


def test_paired_test_agrees_with_scipy():
    rng = np.random.default_rng(5)
    differences = rng.normal(0.15, 1, size=(200, 2))
    ours = paired_test(differences, permutations=40_000)
    for column in range(2):
        theirs = stats.permutation_test(
            (differences[:, column],),
            np.mean,
            permutation_type="samples",
            n_resamples=40_000,
            rng=np.random.default_rng(9),
        ).pvalue
        assert ours[column] == pytest.approx(theirs, abs=0.01)
        assert ours[column] == pytest.approx(stats.ttest_1samp(differences[:, column], 0).pvalue, abs=0.02)


def test_paired_test_of_equal_models_finds_nothing():
    np.testing.assert_array_equal(paired_test(np.zeros((100, 2))), [1, 1])
    assert paired_test(np.ones((100, 1)), permutations=10_000)[0] == pytest.approx(1 / 10_001)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_holm_by_its_definition(p_values):
    """The adjusted p value is the least alpha at which the step-down procedure rejects."""
    adjusted = holm(np.array(p_values))
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for alpha in (0.01, 0.05, 0.2, 0.5, 0.9):
        rejected = set()
        for step, index in enumerate(order):
            if p_values[index] * (len(p_values) - step) > alpha:
                break
            rejected.add(index)
        assert rejected == {index for index, value in enumerate(adjusted) if value <= alpha}
    assert (adjusted >= np.array(p_values)).all() and (adjusted <= 1).all()
