"""Scaling of windows: against plain NumPy row by row, and undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.series_scaling import KINDS, WindowScaling
from seq2seq.errors import UserError


def padded(rows):
    length = max(map(len, rows))
    values, observed = np.zeros((len(rows), length)), np.zeros((len(rows), length), bool)
    for i, row in enumerate(rows):
        values[i, : len(row)], observed[i, : len(row)] = np.nan_to_num(row), ~np.isnan(row)
    return values, observed


def plain(row, kind):
    """Returns offset and factor of one row of values."""
    row = np.array(row)[~np.isnan(row)]
    if kind == "mean":
        return 0.0, np.abs(row).mean()
    if kind == "standard":
        return row.mean(), row.std()
    if kind == "robust":
        low, middle, high = np.percentile(row, [25, 50, 75])
        return middle, high - low
    return (row[-1], np.abs(row - row[-1]).mean()) if kind == "last" else (0.0, 1.0)


ROWS = [np.array([3.0, 5, 4, 9, 1]), np.array([2.0, np.nan, 8]), np.array([100.0, 101, 99, 105])]


@pytest.mark.parametrize("kind", KINDS)
def test_each_window_is_scaled_by_its_own_history(kind):
    values, observed = padded(ROWS)
    scale = WindowScaling(kind).fit(values, observed, season_length=1, horizon=2)
    for i, row in enumerate(ROWS):
        offset, factor = plain(row, kind)
        known = observed[i]
        np.testing.assert_allclose(
            scale.past(values)[i][known], (row[~np.isnan(row)] - offset) / factor, rtol=1e-12
        )
        future = np.array([[7.0, -3.0]] * 3)
        np.testing.assert_allclose(scale.future(future)[i], (future[i] - offset) / factor)


@pytest.mark.parametrize("season", ["none", "difference"])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=9), min_size=1, max_size=4),
    future=st.lists(st.floats(1e-3, 1e9), min_size=3, max_size=3),
)
def test_scaling_is_undone(kind, log, season, rows, future):
    values, observed = padded([np.array(row) for row in rows])
    scaling = WindowScaling(kind, log, season)
    scale = scaling.fit(values, observed, season_length=2, horizon=3)
    wanted = np.array([future] * len(rows))
    size = np.maximum(values.max(axis=1, keepdims=True), wanted)
    undone = scale.undo(scale.future(wanted))
    tolerance = 1e-9 * wanted if log else 1e-9 * size
    assert (np.abs(undone - wanted) <= tolerance).all()


def test_seasonal_differences():
    history = np.array([[1.0, 2, 3, 11, 22, 33, 111]])
    scaling = WindowScaling("none", season="difference")
    scale = scaling.fit(history, np.ones_like(history, bool), season_length=3, horizon=5)
    np.testing.assert_array_equal(scale.past(history), [[0, 0, 0, 10, 20, 30, 100]])
    np.testing.assert_array_equal(scale.future_offset, [[22, 33, 111, 22, 33]])


def test_a_history_shorter_than_a_season_refers_to_its_last_value():
    history = np.array([[5.0, 7.0, 0.0]])  # the last is padding
    scaling = WindowScaling("none", season="difference")
    scale = scaling.fit(history, np.array([[True, True, False]]), season_length=3, horizon=2)
    np.testing.assert_array_equal(scale.future_offset, [[7.0, 5.0]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_history_has_the_factor_1_or_its_own_size(kind):
    values = np.full((1, 4), 1e6)
    scale = WindowScaling(kind).fit(values, np.ones_like(values, bool), 1, 2)
    assert scale.factor == (1e6 if kind == "mean" else 1)
    assert np.isfinite(scale.past(values)).all()


def test_a_history_without_values_is_left_as_it_is():
    values = np.zeros((1, 3))
    scale = WindowScaling("standard").fit(values, np.zeros_like(values, bool), 1, 1)
    assert (scale.factor, scale.future_offset) == (1.0, 0.0)


def test_a_logarithm_of_zero_is_refused():
    with pytest.raises(
        UserError, match=r"has the value 0, which has no logarithm, and task\.scaling\.log"
    ):
        WindowScaling("none", log=True).fit(np.array([[1.0, 0.0]]), np.ones((1, 2), bool), 1, 1)


@pytest.mark.parametrize("argument", [{"kind": "maximum"}, {"season": "yes"}])
def test_impossible_arguments_are_refused(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        WindowScaling(**argument)
