"""Conformal intervals of forecasts, in scaled units: of a validation split, or adaptive."""

from collections.abc import Sequence

import numpy as np

from seq2seq.errors import UserError
from seq2seq.evaluation.conformal import (
    adaptive_offsets,
    conformal_offsets,
    quantile_offsets,
    with_offsets,
)

MEDIAN = 0.5
KEPT_RESIDUALS = 200
"""Of each step, evenly spaced among the sorted ones of the validation split."""
RATE = 0.02
"""How fast adaptive intervals react to a miss."""


def percent_of(level: float) -> float:
    """Returns the percentage of the interval that a quantile is an end of."""
    return round(200 * abs(level - MEDIAN), 4)


def quantile_levels(percents: Sequence[float]) -> list[float]:
    """Returns the levels of the ends of intervals, and of the median, in order.

    Raises:
        UserError: If a percentage is impossible.
    """
    levels = {MEDIAN} if percents else set()
    for percent in percents:
        if not 0 < percent < 100:
            raise UserError(f"levels: must be between 0 and 100 percent, got {percent:g}.")
        if percent < 1:
            raise UserError(
                f"levels: are in percent, and {percent:g} is below 1: give "
                f"{100 * percent:g} for an interval of {100 * percent:g} %."
            )
        levels |= {round(0.5 - percent / 200, 6), round(0.5 + percent / 200, 6)}
    return sorted(levels)


def split_offsets(
    truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], has_quantiles: bool
) -> dict[str, list[list[float]]]:
    """Returns what split conformal prediction adds to quantiles, by level: `(horizon, targets)`.

    Args:
        truth: Scaled values `(windows, horizon, targets)`; NaN where missing.
        quantiles: Scaled quantiles `(levels, windows, horizon, targets)`.
        levels: Their levels.
        has_quantiles: Whether they are the distribution's, or the same point for each level.
    """
    offsets = [
        quantile_offsets(truth[..., k], quantiles[..., k], levels)
        if has_quantiles
        else conformal_offsets(truth[..., k] - quantiles[0, ..., k], levels)
        for k in range(truth.shape[-1])
    ]
    by_level = np.stack(offsets, axis=-1)  # (levels, horizon, targets)
    return {str(level): values.tolist() for level, values in zip(levels, by_level, strict=True)}


def with_split_offsets(
    quantiles: np.ndarray, levels: Sequence[float], offsets: dict[str, list[list[float]]]
) -> np.ndarray:
    """Adds offsets to scaled quantiles `(levels, windows, horizon, targets)`.

    Raises:
        UserError: If there is none for a level.
    """
    if unknown := [level for level in levels if str(level) not in offsets]:
        known = sorted({percent_of(float(level)) for level in offsets} - {0.0})
        raise UserError(
            f"levels: intervals are calibrated for {', '.join(f'{x:g}' for x in known)} percent "
            f"(task.levels), not for {percent_of(unknown[0]):g}."
        )
    by_level = np.array([offsets[str(level)] for level in levels])
    steps = np.minimum(np.arange(quantiles.shape[2]), by_level.shape[1] - 1)  # beyond: as the last
    calibrated = [
        with_offsets(quantiles[..., k], by_level[:, steps, k]) for k in range(quantiles.shape[-1])
    ]
    return np.stack(calibrated, axis=-1)


def kept_residuals(residuals: np.ndarray) -> list[list[list[float]]]:
    """Returns at most `KEPT_RESIDUALS` absolute residuals of each step, `(kept, horizon, targets)`.

    `residuals` are `(windows, horizon, targets)`, NaN where missing.
    """
    count = min(len(residuals), KEPT_RESIDUALS)
    kept = np.nanquantile(np.abs(residuals), np.linspace(0, 1, count), axis=0)
    return [[list(map(float, step)) for step in window] for window in kept]


def adaptive_quantiles(
    points: np.ndarray,
    residuals: np.ndarray,
    calibration: np.ndarray,
    levels: Sequence[float],
    stride: int,
) -> np.ndarray:
    """Returns scaled quantiles of windows by adaptive conformal inference.

    The half width of an interval follows the misses of the forecasts from earlier origins of the
    same series, see `adaptive_offsets`; it is at most the largest residual known.

    Args:
        points: Scaled forecasts `(windows, horizon, targets)`.
        residuals: Of the forecasts from earlier origins, the oldest first, `(windows, origins,
            horizon, targets)`; NaN where there is none.
        calibration: Absolute residuals of the validation split, `(kept, horizon, targets)`.
        levels: The levels of the quantiles.
        stride: Steps from one origin to the next.
    """
    windows, horizon, targets = points.shape
    steps = np.minimum(np.arange(horizon), calibration.shape[1] - 1)
    calibration = calibration[:, steps]
    quantiles = np.repeat(points[np.newaxis], len(levels), axis=0)
    now = np.full((1, horizon), np.nan)
    for window in range(windows):
        for k in range(targets):
            past = np.concatenate([residuals[window, :, :, k], now])
            most = np.nanmax(np.abs(np.concatenate([calibration[..., k], past])), axis=0)
            widths: dict[float, np.ndarray] = {}
            for place, level in enumerate(levels):
                if level == MEDIAN:
                    continue
                coverage = percent_of(level) / 100
                if coverage not in widths:
                    offsets = adaptive_offsets(past, coverage, calibration[..., k], RATE, stride)
                    widths[coverage] = np.clip(offsets[-1], 0, most)
                quantiles[place, window, :, k] += np.sign(level - MEDIAN) * widths[coverage]
    return np.sort(quantiles, axis=0)
