"""Classical statistics against statsmodels and plain loops."""

import numpy as np
import pytest
from statsmodels.tsa.holtwinters import ExponentialSmoothing, SimpleExpSmoothing
from statsmodels.tsa.seasonal import seasonal_decompose

from seq2seq.data.series_statistics import (
    DampedGrid,
    centred_average,
    damped_trend_forecast,
    likelihood_weights,
    seasonal_component,
    smooth_average,
    theta_forecast,
)

generator = np.random.default_rng(3)
LENGTHS = (40, 25, 13)
STEPS = max(LENGTHS)


def series(seed=0):
    """Returns right-aligned series of different lengths, with a trend, and the rows themselves."""
    random = np.random.default_rng(seed)
    rows = [5 + 0.1 * np.arange(n) + random.normal(0, 0.3, n).cumsum() for n in LENGTHS]
    values = np.full((len(rows), STEPS), np.nan)
    for row, own in zip(values, rows, strict=True):
        row[-len(own) :] = own
    return values, rows


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_theta_is_exponential_smoothing_with_half_the_slope_as_drift(alpha):
    """With one alpha, there is nothing to average; the level is that of statsmodels."""
    values, rows = series()
    theta = theta_forecast(values, 4, [alpha])
    for i, row in enumerate(rows):
        fit = SimpleExpSmoothing(row, initialization_method="known", initial_level=row[0]).fit(
            smoothing_level=alpha, optimized=False
        )
        level = fit.forecast(1)[0]
        slope = np.polyfit(np.arange(len(row)), row, 1)[0]
        drift = np.arange(4) + (1 - (1 - alpha) ** len(row)) / alpha
        np.testing.assert_allclose(theta.level[i], level, rtol=1e-9)
        np.testing.assert_allclose(theta.slope[i], slope, rtol=1e-9)
        np.testing.assert_allclose(theta.forecast[i], level + slope / 2 * drift, rtol=1e-9)


@pytest.mark.parametrize(("alpha", "beta", "phi"), [(0.3, 0.2, 0.9), (0.8, 0.0, 0.98)])
def test_a_damped_trend_is_that_of_statsmodels(alpha, beta, phi):
    values, rows = series()
    grid = DampedGrid((alpha,), (beta,), (phi,), slope_steps=4, slope_share=0.5)
    found = damped_trend_forecast(values, 6, grid)
    for i, row in enumerate(rows):
        model = ExponentialSmoothing(
            row[1:],  # the first value is the initial level
            trend="add",
            damped_trend=True,
            initialization_method="known",
            initial_level=row[0],
            initial_trend=0.5 * (row[4] - row[0]) / 4,
        )
        fit = model.fit(
            smoothing_level=alpha,
            smoothing_trend=beta,
            damping_trend=phi,
            optimized=False,
        )
        np.testing.assert_allclose(found.forecast[i], fit.forecast(6), rtol=2e-5)
    np.testing.assert_allclose(found.phi, phi, rtol=1e-6)


def test_choices_are_averaged_by_their_likelihood():
    squares = np.array([[2.0, 4.0, 1.0]])
    likelihood = np.array([(s / 10) ** (-10 / 2) for s in squares[0]])  # Gaussian, n = 10
    np.testing.assert_allclose(
        likelihood_weights(squares, np.array([10]))[0], likelihood / likelihood.sum()
    )


def test_the_centred_average_is_that_of_statsmodels():
    values = generator.normal(size=(1, 50)).cumsum(axis=1)
    for season_length in (4, 12):
        expected = seasonal_decompose(values[0], period=season_length).trend
        np.testing.assert_allclose(centred_average(values, season_length)[0], expected)


def test_the_smooth_average_has_fewer_values_at_the_ends():
    values = np.array([[np.nan, 1.0, 2.0, 6.0, 4.0]])
    found = smooth_average(values, 1)[0, 1:]
    np.testing.assert_allclose(found, [1.5, 3.0, 4.0, 5.0])


def test_a_strong_season_is_found_and_continued_in_phase():
    season = np.array([3.0, -1.0, -4.0, 2.0])
    steps = np.arange(38)
    values = 50 + 0.5 * steps + season[steps % 4] + generator.normal(0, 0.05, (2, 38))
    values[1, :9] = np.nan
    found = seasonal_component(values, 4, 6)
    for row, first in ((0, 0), (1, 9)):
        np.testing.assert_allclose(found.past[row, first:], season[steps[first:] % 4], atol=0.2)
    np.testing.assert_allclose(
        found.future, np.tile(season[(38 + np.arange(6)) % 4], (2, 1)), atol=0.2
    )
    assert (found.strength > 0.95).all()


def test_noise_has_hardly_any_season():
    values = generator.normal(size=(200, 48))
    strengths = seasonal_component(values, 12, 3).strength
    assert np.mean(strengths) < 0.2
    assert seasonal_component(values[:, :15], 12, 3).strength.max() == 0  # too short


def test_without_a_season_there_is_no_component():
    found = seasonal_component(np.ones((2, 5)), 1, 3)
    assert not found.past.any()
    assert found.future.shape == (2, 3)
