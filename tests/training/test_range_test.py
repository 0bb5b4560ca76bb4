"""The range test, where it is known which rates diverge: gradient descent on a quadratic."""

import numpy as np
import pytest

from seq2seq.plots.range_test import range_test_figure
from seq2seq.training.range_test import range_test

CURVATURES = np.array([0.5, 1.0, 4.0])
"""Gradient descent on `sum(curvature * x**2) / 2` diverges above a rate of 2 / 4."""
LIMIT = 2 / CURVATURES.max()


class Descent:
    def __init__(self):
        self.x, self.rates = np.array([3.0, -2.0, 1.0]), []

    def __call__(self, rate):
        loss = float(np.sum(CURVATURES * self.x**2) / 2)
        self.x = self.x - rate * CURVATURES * self.x
        self.rates.append(rate)
        return loss


def test_the_rates_rise_by_one_factor_and_the_suggestion_is_below_divergence():
    descent = Descent()
    test = range_test(descent, 200, 1e-5, 100.0)
    np.testing.assert_allclose(test.rates, np.geomspace(1e-5, 100, 200)[: len(test.rates)])
    assert test.diverged
    assert LIMIT < test.rates[-1] < 100
    assert 1e-3 < test.suggested < test.lowest < 10 * LIMIT
    assert test.suggested < LIMIT
    counts = np.convolve(np.ones(len(test.losses)), np.ones(5), "same")
    means = np.convolve(test.losses, np.ones(5), "same") / counts
    np.testing.assert_allclose(test.smoothed, means)


def test_no_rate_is_suggested_where_the_loss_does_not_fall():
    losses = iter(range(1, 100))
    test = range_test(lambda rate: 100.0 + next(losses), 20, 1e-3, 1.0)
    assert not test.diverged
    assert test.suggested is None
    assert len(test.rates) == 20


def test_a_loss_that_is_not_finite_ends_the_test():
    losses = iter([3.0, 2.0, float("inf"), 1.0])
    test = range_test(lambda rate: next(losses), 4, 1e-3, 1.0)
    assert test.diverged
    assert test.losses == [3.0, 2.0]


def test_the_figure_has_the_curves_and_the_suggestion():
    test = range_test(Descent(), 100, 1e-5, 100.0)
    figure = range_test_figure(test.rates, test.losses, test.smoothed, test.suggested)
    [axes] = figure.axes
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), test.smoothed)
    assert axes.lines[2].get_xdata()[0] == test.suggested
    assert axes.get_xscale() == "log"
    with pytest.raises(ValueError, match="no step"):
        range_test_figure([], [], [], None)
