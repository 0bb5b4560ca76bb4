"""Classical statistics of many series at once: seasonal components, Theta, damped trends.

All arrays are right-aligned: `(series, steps)`, NaN before the first value of each. A method with
smoothing parameters tries a grid of them and averages by likelihood, instead of an optimizer for
each series, so that it is a few products of arrays for any number of series.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

DECAY = 0.8
"""The weight of a season relative to the next one."""
SHRINKAGE = 1.5
"""The F statistic of a seasonal component below which there is none."""
ALPHAS = np.arange(0.05, 1.0, 0.05)
ROWS = 2000
"""Series at once, so that the arrays stay in the caches."""


@dataclass(frozen=True)
class Seasonal:
    """The seasonal component of series."""

    past: np.ndarray
    """`(series, steps)`."""
    future: np.ndarray
    """`(series, horizon)`."""
    strength: np.ndarray
    """From 0, no season, to 1, `(series,)`."""


def seasonal_component(values: np.ndarray, season_length: int, horizon: int) -> Seasonal:
    """Returns the additive seasonal component by classical decomposition.

    It is the mean deviation from a centred moving average, recent seasons weighing more; the
    average is computed again on the seasonally adjusted series, to the ends. It is shrunk towards
    0 by the F statistic of seasons (as James & Stein, 1961), instead of a test that switches it on.

    Args:
        values: `(series, steps)`.
        season_length: 1 for series without a season.
        horizon: The steps to come.
    """
    count, steps = values.shape
    if season_length == 1:
        zeros = np.zeros((count, steps))
        return Seasonal(zeros, np.zeros((count, horizon)), np.zeros(count))
    padding = -steps % season_length
    seasons = (steps + padding) // season_length
    deviations = values - centred_average(values, season_length)
    past, means, strength = np.zeros(0), np.zeros(0), np.zeros(0)
    for first in (True, False):
        if not first:
            deviations = values - smooth_average(values - past, season_length // 2)
        padded = np.pad(deviations, ((0, 0), (padding, 0)), constant_values=np.nan)
        means, strength = season_means(padded.reshape(count, seasons, season_length))
        past = np.tile(means, (1, seasons))[:, padding:]
    future = np.tile(means, (1, horizon // season_length + 1))[:, :horizon]
    return Seasonal(past, future, strength)


def centred_average(values: np.ndarray, season_length: int) -> np.ndarray:
    """Returns the average over a season around each step; NaN at the ends."""
    weights = np.full(season_length + 1, 1 / season_length)
    weights[[0, -1]] /= 2
    average = np.full(values.shape, np.nan)
    if values.shape[1] > season_length:
        half = season_length // 2
        windows = sliding_window_view(values, season_length + 1, axis=1)
        average[:, half : half + windows.shape[1]] = windows @ weights
    return average


def smooth_average(values: np.ndarray, half: int) -> np.ndarray:
    """Returns the average of up to `half` steps on each side, of fewer at the ends."""
    known = ~np.isnan(values)
    sides = ((0, 0), (half + 1, half))
    sums = np.cumsum(np.pad(np.where(known, values, 0), sides), axis=1)
    counts = np.cumsum(np.pad(known.astype(float), sides), axis=1)
    width = 2 * half + 1
    totals, numbers = sums[:, width:] - sums[:, :-width], counts[:, width:] - counts[:, :-width]
    return totals / np.maximum(numbers, 1)


def season_means(deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shrunk mean of each season, `(series, season_length)`, and the shrinkage.

    `deviations` are `(series, seasons, season_length)`, NaN where unknown.
    """
    _, seasons, season_length = deviations.shape
    known = ~np.isnan(deviations)
    values = np.where(known, deviations, 0)
    weights = DECAY ** np.arange(seasons)[::-1][np.newaxis, :, np.newaxis] * known
    sums = weights.sum(axis=1)
    means = (weights * values).sum(axis=1) / np.maximum(sums, 1e-9)
    means = means - means.mean(axis=1, keepdims=True)
    total = known.sum(axis=(1, 2))
    residuals = np.where(known, values - means[:, np.newaxis], 0)
    within = (residuals**2).sum(axis=(1, 2)) / np.maximum(total - season_length, 1)
    effective = sums**2 / np.maximum((weights**2).sum(axis=1), 1e-9)
    between = (effective * means**2).sum(axis=1) / (season_length - 1)
    shrunk = np.clip(1 - SHRINKAGE * within / np.maximum(between, 1e-12), 0, 1)
    strength = np.where(total >= 1.5 * season_length, shrunk, 0.0)
    return means * strength[:, np.newaxis], strength


def likelihood_weights(squared_errors: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Returns the weight of each choice of parameters, `(series, choices)`, from its errors."""
    likelihood = -0.5 * steps[:, np.newaxis] * np.log(np.maximum(squared_errors, 1e-12))
    weights = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Theta:
    """Forecasts by the Theta method, `(series, horizon)`, and its parameters, `(series,)`."""

    forecast: np.ndarray
    level: np.ndarray
    alpha: np.ndarray
    slope: np.ndarray
    """Of the linear trend."""
    variance: np.ndarray
    """Of the errors one step ahead."""


def theta_forecast(
    values: np.ndarray, horizon: int, alphas: Sequence[float] | np.ndarray = ALPHAS
) -> Theta:
    """Forecasts by the Theta method (Assimakopoulos & Nikolopoulos, 2000).

    It is simple exponential smoothing with a drift of half the slope of the linear trend (Hyndman &
    Billah, 2003).
    """
    count, steps = values.shape
    known = ~np.isnan(values)
    lengths = known.sum(axis=1)
    first = steps - lengths
    grid = np.asarray(alphas)[np.newaxis]
    level = np.repeat(values[np.arange(count), first][:, np.newaxis], grid.shape[1], axis=1)
    squares = np.zeros_like(level)
    for step in range(steps):
        follows = (step > first)[:, np.newaxis]
        error = np.where(follows, values[:, step : step + 1] - level, 0.0)
        squares += error**2
        level = level + grid * error
    weights = likelihood_weights(squares, lengths)
    numbers = np.where(known, np.arange(steps) - first[:, np.newaxis], 0.0)
    centred = np.where(known, numbers - (numbers.sum(axis=1) / lengths)[:, np.newaxis], 0)
    mean = np.nanmean(values, axis=1, keepdims=True)
    slope = (centred * np.where(known, values - mean, 0)).sum(axis=1)
    slope = slope / np.maximum((centred**2).sum(axis=1), 1e-9)
    reached = (weights * (1 - (1 - grid) ** lengths[:, np.newaxis]) / grid).sum(axis=1)
    last = (weights * level).sum(axis=1)
    drift = np.arange(horizon) + reached[:, np.newaxis]
    return Theta(
        last[:, np.newaxis] + 0.5 * slope[:, np.newaxis] * drift,
        last,
        (weights * grid).sum(axis=1),
        slope,
        (weights * squares).sum(axis=1) / np.maximum(lengths - 1, 1),
    )


@dataclass(frozen=True)
class DampedGrid:
    """The parameters that are tried for damped trends.

    Attributes:
        alphas: Smoothing of the level.
        betas: Smoothing of the trend, as a share of alpha.
        phis: Damping of the trend.
        slope_steps: The first steps whose mean slope is the initial trend.
        slope_share: The share of that slope.
    """

    alphas: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95)
    betas: Sequence[float] = (0.0, 0.02, 0.05, 0.1, 0.2)
    phis: Sequence[float] = (0.8, 0.9, 0.95, 0.98)
    slope_steps: int = 4
    slope_share: float = 1.0

    def choices(self) -> np.ndarray:
        """Returns alpha, beta and phi of each choice, float32 `(choices, 3)`."""
        grid = [(a, a * b, p) for a in self.alphas for b in self.betas for p in self.phis]
        return np.array(grid, np.float32)


@dataclass(frozen=True)
class DampedTrend:
    """Forecasts by a damped trend, `(series, horizon)`, and its parameters, `(series,)`."""

    forecast: np.ndarray
    slope: np.ndarray
    phi: np.ndarray


def damped_trend_forecast(
    values: np.ndarray, horizon: int, grid: DampedGrid | None = None
) -> DampedTrend:
    """Forecasts by exponential smoothing with a damped trend (Gardner & McKenzie, 1985)."""
    grid = grid or DampedGrid()
    choices = grid.choices()
    parts = [
        _damped_rows(values[start : start + ROWS], horizon, choices, grid)
        for start in range(0, len(values), ROWS)
    ]
    forecast, slope, phi = (np.concatenate(part) for part in zip(*parts, strict=True))
    return DampedTrend(forecast, slope, phi)


def _damped_rows(
    values: np.ndarray, horizon: int, choices: np.ndarray, grid: DampedGrid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    alpha, beta, phi = choices.T[:, np.newaxis]  # (1, choices) each
    values = values.astype(np.float32)
    known = ~np.isnan(values)
    lengths = known.sum(axis=1)
    first, rows = values.shape[1] - lengths, np.arange(len(values))
    span = np.minimum(lengths - 1, grid.slope_steps)
    start = values[rows, first]
    slope = grid.slope_share * (values[rows, first + span] - start) / np.maximum(span, 1)
    level = np.repeat(start[:, np.newaxis], len(choices), axis=1)
    trend = np.repeat(slope[:, np.newaxis], len(choices), axis=1).astype(np.float32)
    squares = np.zeros_like(level)
    for step in range(int(first.min()), values.shape[1]):
        rows = np.flatnonzero(step > first)
        if not len(rows):
            continue
        damped = phi * trend[rows]
        expected = level[rows] + damped
        error = values[rows, step : step + 1] - expected
        level[rows], trend[rows] = expected + alpha * error, damped + beta * error
        squares[rows] += error**2
    weights = likelihood_weights(squares.astype(np.float64), lengths)
    growth = np.cumsum(choices[:, 2:] ** np.arange(1, horizon + 1), axis=1)  # (choices, horizon)
    forecast = (weights * level).sum(axis=1, keepdims=True) + (weights * trend) @ growth
    return forecast, (weights * trend).sum(axis=1), weights @ choices[:, 2]
