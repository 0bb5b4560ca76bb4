"""Conformal intervals contain as many references as they promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.evaluation.conformal import (
    adaptive_offsets,
    conformal_offsets,
    conformal_quantile,
    quantile_offsets,
    rows_needed,
    with_offsets,
)

CASES = settings(derandomize=True, deadline=None, max_examples=25)


def test_ranks_of_a_textbook():
    # Nine residuals, 80 %: ceil(10 * 0.8) = the eighth; 95 %: the tenth, which there is not.
    scores = np.arange(1.0, 10)[::-1, None]
    assert conformal_quantile(scores, 0.8) == [8]
    assert conformal_quantile(scores, 0.9) == [9]
    assert conformal_quantile(scores, 0.95) == [np.inf]
    assert conformal_offsets(-scores, [0.1, 0.5, 0.9]).tolist() == [[-8], [0], [8]]


@CASES
@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0.05, 0.95))
def test_quantiles_by_their_definition(seed, count, level):
    scores = np.random.default_rng(seed).normal(size=count)
    corrected = (count + 1) * level / count
    expected = np.quantile(scores, corrected, method="inverted_cdf") if corrected <= 1 else math.inf
    with_missing = np.append(scores, [np.nan, np.nan])[:, None]
    assert conformal_quantile(with_missing, level) == [expected]


@pytest.mark.parametrize("rows", [19, 20, 47])
def test_coverage_of_split_conformal_intervals(rows):
    """The probability of a further reference inside is ceil((n + 1) * 0.9) / (n + 1)."""
    residuals = np.random.default_rng(5).standard_t(3, size=(rows + 1, 40_000))
    low, high = conformal_offsets(residuals[:-1], [0.05, 0.95])
    inside = (low <= residuals[-1]) & (residuals[-1] <= high)
    expected = math.ceil((rows + 1) * 0.9 - 1e-9) / (rows + 1)
    assert inside.mean() == pytest.approx(expected, abs=0.006)
    np.testing.assert_allclose(low, -high)


def test_each_step_has_its_offsets():
    residuals = np.random.default_rng(6).normal(size=(5000, 3)) * [1, 2, 5]
    [high] = conformal_offsets(residuals, [0.975])
    np.testing.assert_allclose(high, [1.96, 3.92, 9.8], rtol=0.06)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_quantile_offsets_mend_intervals_of_any_width(factor):
    random = np.random.default_rng(7)
    levels = [0.1, 0.5, 0.9]
    spread = random.uniform(0.5, 2, size=(20_000, 1))  # varies by row, and the model knows it
    references = random.exponential(size=(20_000, 1)) * spread
    true = -np.log(1 - np.array(levels))[:, None, None] * spread
    quantiles = true.mean() + factor * (true - true.mean())
    fitted, tested = slice(0, 10_000), slice(10_000, None)
    offsets = quantile_offsets(references[fitted], quantiles[:, fitted], levels)
    corrected = with_offsets(quantiles[:, tested], offsets)
    below = np.mean(references[tested] <= corrected, axis=(1, 2))
    np.testing.assert_allclose(below, levels, atol=0.015)
    if factor == 1:
        np.testing.assert_allclose(offsets, 0, atol=0.1)


def test_quantile_offsets_are_infinite_without_enough_rows():
    levels = [0.025, 0.975]
    assert rows_needed(levels) == 39
    for rows, finite in ((38, False), (39, True)):
        quantiles = np.zeros((2, rows, 1))
        offsets = quantile_offsets(np.ones((rows, 1)), quantiles, levels)
        assert np.isfinite(offsets).all() == finite


def test_quantiles_with_offsets_do_not_cross():
    quantiles = np.array([[[0.0, 0.0]], [[1.0, 1.0]]])
    offsets = np.array([[0.0, 3.0], [0.0, -1.0]])
    np.testing.assert_allclose(with_offsets(quantiles, offsets, 2), [[[0, -1]], [[1, 6]]])
    doubled = with_offsets(np.zeros((1, 2, 1)), np.array([[1.0]]), np.array([1.0, 2.0]))
    np.testing.assert_allclose(doubled, [[[1], [2]]])


def errors_of(residuals, widths):
    return np.abs(residuals) > widths


@CASES
@given(st.integers(0, 10**6), st.sampled_from([0.8, 0.95]))
def test_adaptive_coverage_holds_for_any_series(seed, coverage):
    """Proposition 4.1 of Gibbs and Candès: no assumption on the series is needed."""
    random = np.random.default_rng(seed)
    residuals = random.normal(size=(400, 1)) * np.exp(random.normal(size=(400, 1)).cumsum(0) / 5)
    rate = 0.05
    widths = adaptive_offsets(residuals, coverage, residuals[:0], rate)
    share = errors_of(residuals, widths)[:-1].mean()
    assert abs(share - (1 - coverage)) <= (coverage + rate) / (rate * 399) + 1e-9


def test_adaptive_intervals_follow_a_change():
    random = np.random.default_rng(8)
    calibration = random.normal(size=(200, 1))
    residuals = random.normal(size=(1000, 1)) * np.repeat([1, 4], 500)[:, None]
    fixed = conformal_offsets(calibration, [0.9])
    adaptive = adaptive_offsets(residuals, 0.8, calibration, rate=0.02)
    inside = ~errors_of(residuals, adaptive)
    assert inside[:500].mean() == pytest.approx(0.8, abs=0.03)
    assert inside[550:].mean() == pytest.approx(0.8, abs=0.03)
    assert np.mean(~errors_of(residuals[550:], fixed)) < 0.4


def test_adaptive_intervals_do_not_see_the_future():
    random = np.random.default_rng(9)
    residuals = random.normal(size=(30, 4))
    calibration = random.normal(size=(40, 4))
    widths = adaptive_offsets(residuals, 0.8, calibration, stride=2)
    changed = residuals.copy()
    changed[10] = 50
    after = adaptive_offsets(changed, 0.8, calibration, stride=2)
    first_change = [np.flatnonzero(widths[:, step] != after[:, step])[0] for step in range(4)]
    assert first_change == [11, 11, 12, 12]  # steps 3 and 4 are seen after two strides of 2
