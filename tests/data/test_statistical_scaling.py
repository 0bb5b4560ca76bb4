"""Scaling around a statistical forecast: on M3 where it is there, else on simulated series."""

import numpy as np
import pytest

from seq2seq.data.series_scaling import Scale
from seq2seq.data.series_statistics import theta_forecast
from seq2seq.data.statistical_scaling import (
    FORECASTS,
    StatisticalScaling,
    left_aligned,
    right_aligned,
)
from seq2seq.errors import UserError


def windows(lengths=(40, 22, 9), seed=0):
    random = np.random.default_rng(seed)
    values = np.zeros((len(lengths), max(lengths)))
    observed = np.arange(max(lengths)) < np.array(lengths)[:, None]
    for row, length in zip(values, lengths, strict=True):
        row[:length] = np.exp(5 + random.normal(0, 0.05, length).cumsum())
    return values, observed


def test_an_output_of_zero_is_the_forecast():
    values, observed = windows((40, 22))
    scale = StatisticalScaling(("theta",)).fit(values, observed, 1, 5)
    for i, length in enumerate((40, 22)):
        expected = np.exp(theta_forecast(np.log(values[i : i + 1, :length]), 5).forecast)
        np.testing.assert_allclose(scale.undo(np.zeros((2, 5)))[i], expected[0])


def test_several_forecasts_are_averaged():
    values, observed = windows()
    offsets = {
        name: StatisticalScaling((name,)).fit(values, observed, 4, 5).future_offset
        for name in FORECASTS
    }
    both = StatisticalScaling(("theta", "damped_plain")).fit(values, observed, 4, 5)
    np.testing.assert_allclose(both.future_offset, (offsets["theta"] + offsets["damped_plain"]) / 2)


@pytest.mark.parametrize("season_length", [1, 4, 12])
def test_scaling_is_undone_and_the_past_is_relative_to_its_last_value(season_length):
    values, observed = windows()
    scale = StatisticalScaling().fit(values, observed, season_length, 6)
    future = np.exp(np.random.default_rng(1).normal(5, 1, (3, 6)))
    np.testing.assert_allclose(scale.undo(scale.future(future)), future, rtol=1e-9)
    past = scale.past(values)
    for row, length in enumerate((40, 22, 9)):
        assert past[row, length - 1] == pytest.approx(0, abs=1e-9)
        if season_length == 1:
            changes = np.abs(np.diff(past[row, :length])).mean()
            assert changes == pytest.approx(1, rel=1e-6)


def test_features_have_the_promised_number_and_are_finite():
    for season_length, horizon, seasonal in ((1, 4, False), (4, 8, True), (12, 18, True)):
        scaling = StatisticalScaling(seasonal_features=seasonal)
        scale = scaling.fit(*windows((40, 5, 2)), season_length, horizon)
        assert scale.window.shape == (3, scaling.window_features(season_length, horizon))
        assert scale.steps.shape == (3, 40, scaling.step_features)
        for array in (scale.window, scale.steps, scale.past_offset, scale.future_offset):
            assert np.isfinite(array).all()


def test_a_window_and_its_mirror_image_have_opposite_signed_features():
    """Of logarithms around a constant: what Theta sees as growth becomes decline."""
    values, observed = windows((40,))
    mirrored = np.exp(2 * np.log(values[:, 39:]) - np.log(values))
    scaling = StatisticalScaling(("theta",))
    scale, other = (scaling.fit(v, observed, 1, 4) for v in (values, mirrored))
    np.testing.assert_allclose(other.past(mirrored), -scale.past(values), atol=1e-6)
    signed = slice(scale.unsigned, scale.unsigned + 3)
    np.testing.assert_allclose(other.window[:, signed], -scale.window[:, signed], atol=1e-4)


def test_rows_do_not_depend_on_each_other():
    values, observed = windows()
    scaling = StatisticalScaling(("theta", "damped"))
    together = scaling.fit(values, observed, 4, 5)
    alone = scaling.fit(values[1:2, :22], observed[1:2, :22], 4, 5)
    np.testing.assert_allclose(alone.future_offset[0], together.future_offset[1], rtol=1e-6)
    np.testing.assert_allclose(alone.window[0], together.window[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone.past_offset[0], together.past_offset[1, :22], rtol=1e-9)


def test_missing_values_become_the_ones_before_them():
    history = np.array([[0.0, 5.0, 0.0, 7.0, 0.0]])
    observed = np.array([[False, True, False, True, False]])
    values, lengths = right_aligned(history, observed)
    np.testing.assert_array_equal(values, [[np.nan, 5, 5, 7]])
    assert lengths.tolist() == [4]
    np.testing.assert_array_equal(
        left_aligned(np.nan_to_num(values), lengths, 5), [[0, 5, 5, 7, 0]]
    )


def test_values_without_logarithm_are_refused():
    with pytest.raises(UserError, match="value 0, which has no logarithm"):
        StatisticalScaling().fit(np.array([[1.0, 0.0]]), np.ones((1, 2), bool), 1, 1)


@pytest.mark.parametrize(
    "arguments", [{"forecasts": ["arima"]}, {"forecasts": []}, {"level": "first"}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        StatisticalScaling(**arguments)


def test_scales_of_some_windows_and_of_the_last_steps():
    values, observed = windows()
    scale = StatisticalScaling().fit(values, observed, 4, 5)
    part = scale.last_steps(observed.sum(axis=1), 10).rows(np.array([2, 0]))
    assert isinstance(part, Scale)
    np.testing.assert_array_equal(part.past_offset[1], scale.past_offset[0, 30:])
    np.testing.assert_array_equal(part.past_offset[0, :9], scale.past_offset[2, :9])
    np.testing.assert_array_equal(part.steps[1], scale.steps[0, 30:])
    np.testing.assert_array_equal(part.factor, scale.factor[[2, 0]])
