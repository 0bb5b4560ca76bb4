"""Distributions of forecasts against SciPy, scikit-learn and brute force."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from seq2seq.errors import UserError
from seq2seq.training.distributions import (
    Gaussian,
    NegativeBinomial,
    Point,
    Quantiles,
    StudentT,
)

SHAPE = (4, 3, 2)  # (batch, horizon, targets)
LEVELS = [0.05, 0.3, 0.5, 0.9, 0.99]


def softplus(x):
    return np.log1p(np.exp(x))


def raw_numbers(size, seed=0):
    return np.random.default_rng(seed).normal(size=(*SHAPE, size)).astype(np.float32)


def scipy_of(distribution, raw):
    """Returns the same distribution in SciPy, and what its values are divided by."""
    a, b = raw[..., 0].astype(float), softplus(raw[..., 1].astype(float)) + 1e-3
    if isinstance(distribution, Gaussian):
        return stats.norm(a, b), 1.0
    if isinstance(distribution, StudentT):
        return stats.t(2 + softplus(raw[..., 2].astype(float)), a, b), 1.0
    factor = raw[..., 2].astype(float)
    mean = factor * (softplus(a) + 1e-6)
    return stats.nbinom(1 / b, 1 / (1 + b * mean)), factor


@pytest.fixture(params=[Gaussian, StudentT, NegativeBinomial])
def case(request):
    distribution = request.param()
    raw = raw_numbers(distribution.size)
    if distribution.reads_factor:
        raw[..., 2] = np.array([1.0, 3.0, 40.0, 500.0])[:, None, None]
    return distribution, raw


def test_the_loss_is_the_negative_log_likelihood_of_scipy(case):
    distribution, raw = case
    truth, factor = scipy_of(distribution, raw)
    values = truth.rvs(random_state=1)
    labels = (values / factor).astype(np.float32)
    loss = distribution(labels, raw, np.ones(SHAPE)).reported.numpy()
    log_p = truth.logpmf(values) if distribution.reads_factor else truth.logpdf(values)
    np.testing.assert_allclose(loss, -log_p, rtol=2e-3, atol=2e-3)


def test_quantiles_are_those_of_scipy(case):
    distribution, raw = case
    truth, factor = scipy_of(distribution, raw)
    expected = np.stack([truth.ppf(level) / factor for level in LEVELS])
    step = 1 / np.min(factor) if distribution.reads_factor else 0  # float32 parameters
    found = distribution.quantiles(raw, LEVELS)
    assert found.shape == (5, *SHAPE)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 + step)


def test_samples_follow_the_distribution(case):
    distribution, raw = case
    raw = raw[1:2, :1, :1]
    truth, factor = scipy_of(distribution, raw)
    numbers = np.random.default_rng(2).random((40_000, 1, 1, 2)).astype(np.float32)
    drawn = distribution.sample(np.repeat(raw, len(numbers), axis=0), numbers).numpy().ravel()
    drawn = np.round(drawn * np.ravel(factor), 3) if distribution.reads_factor else drawn
    for level in (0.1, 0.5, 0.9):
        edge = truth.ppf(level).item()
        assert np.mean(drawn <= edge + 1e-4) == pytest.approx(truth.cdf(edge).item(), abs=0.01)


def test_the_gradient_of_each_loss_is_finite_far_away(case):
    distribution, raw = case
    outputs = tf.constant(raw)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = tf.reduce_sum(distribution(np.full(SHAPE, 1e4, np.float32), outputs, 1.0).objective)
    assert np.isfinite(tape.gradient(loss, outputs).numpy()).all()


def test_the_quantile_loss_is_twice_the_mean_pinball_loss_of_scikit_learn():
    distribution = Quantiles([0.1, 0.5, 0.8])
    raw, labels = raw_numbers(3), raw_numbers(1, seed=1)[..., 0]
    quantiles = distribution.quantiles(raw, [0.1, 0.5, 0.8])
    expected = np.mean(
        [
            2 * mean_pinball_loss(labels.ravel(), q.ravel(), alpha=level)
            for level, q in zip([0.1, 0.5, 0.8], quantiles, strict=True)
        ]
    )
    loss = distribution(labels, raw, np.ones(SHAPE)).reported.numpy()
    assert loss.mean() == pytest.approx(expected, rel=1e-5)


def test_quantiles_never_cross_and_are_interpolated():
    distribution = Quantiles()
    raw = 5 * raw_numbers(7)
    quantiles = distribution.quantiles(raw, [0.025, 0.1, 0.2, 0.25, 0.5, 0.975])
    assert (np.diff(quantiles, axis=0) > 0).all()
    np.testing.assert_allclose(
        quantiles[2], quantiles[1] + (quantiles[3] - quantiles[1]) * (0.1 / 0.15), rtol=1e-4
    )
    np.testing.assert_array_equal(distribution.point(raw), raw[..., 3])


def test_samples_of_quantiles_have_those_quantiles():
    distribution = Quantiles()
    raw = raw_numbers(7)[:1, :1, :1]
    numbers = np.random.default_rng(2).random((40_000, 1, 1, 2)).astype(np.float32)
    drawn = distribution.sample(np.repeat(raw, len(numbers), axis=0), numbers).numpy().ravel()
    own = distribution.quantiles(raw, [0.1, 0.5, 0.9]).ravel()
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), own, atol=0.03)


def test_a_quantile_outside_of_the_learnt_ones_is_refused():
    with pytest.raises(UserError, match=r"0\.99 is outside .* 0\.1 to 0\.9"):
        Quantiles([0.1, 0.5, 0.9]).quantiles(raw_numbers(3), [0.5, 0.99])


def test_points_have_no_quantiles_and_no_samples():
    for name in ("quantiles", "sample"):
        with pytest.raises(UserError, match="Point"):
            getattr(Point(), name)(raw_numbers(1), [0.5])


@pytest.mark.parametrize(
    ("loss", "expected"), [("mae", [0.5, 3]), ("mse", [0.25, 9]), ("huber", [0.125, 2.5])]
)
def test_point_losses(loss, expected):
    outputs = np.array([1.5, 4.0], np.float32).reshape(1, 2, 1, 1)
    labels = np.ones((1, 2, 1), np.float32)
    np.testing.assert_allclose(np.ravel(Point(loss)(labels, outputs, 1.0).reported), expected)


@pytest.mark.parametrize("levels", [[], [0.5, 0.1], [0.0, 0.5], [0.5, 1.0], [0.5, 0.5]])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels: must increase"):
        Quantiles(levels)
