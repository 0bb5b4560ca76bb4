"""Scores of forecasts, of their quantiles, and a test of the difference between two of them.

The statistics of single rows stand here alone: the scores of a test set and those of each step
follow from their sums, as do the paired tests of `seq2seq.evaluation.significance`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import stdtr

from seq2seq.evaluation.significance import FromSums

INTERVALS = {"80": (0.1, 0.9), "95": (0.025, 0.975)}
"""Coverage in percent of each interval that is scored, and its quantile levels."""


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of several series beside their references.

    Attributes:
        predictions: `(rows, horizon)`.
        references: `(rows, horizon)`; NaN where a value is missing, which is not scored.
        levels: Levels of the quantiles, ascending.
        quantiles: `(levels, rows, horizon)`.
        scales: Mean absolute error of the seasonal naive forecast in the history, `(rows,)`; NaN
            where there is none.
        squared_scales: Its mean squared error, `(rows,)`.
    """

    predictions: np.ndarray
    references: np.ndarray
    levels: tuple[float, ...]
    quantiles: np.ndarray
    scales: np.ndarray
    squared_scales: np.ndarray

    def at_step(self, index: int) -> "Forecasts":
        """Returns the forecasts of one step of the horizon, counted from 0."""
        step = slice(index, index + 1)
        return replace(
            self,
            predictions=self.predictions[:, step],
            references=self.references[:, step],
            quantiles=self.quantiles[:, :, step],
        )


def forecasts_of(rows: Sequence[Mapping[str, Any]]) -> Forecasts:
    """Returns rows of `predictions/` as arrays; shorter rows are padded with NaN.

    Raises:
        ValueError: If there are no rows, or they differ in the levels of their quantiles.
    """
    if not rows:
        raise ValueError("rows: at least one is needed")
    by_level = {float(level): level for level in rows[0].get("quantiles", {})}
    levels = tuple(sorted(by_level))
    for row in rows:
        if set(row.get("quantiles", {})) != set(by_level.values()):
            raise ValueError(f"rows: all must have the quantiles of the first one, {levels}")
    horizon = max(len(row["prediction"]) for row in rows)
    quantiles = [
        _padded([row["quantiles"][by_level[level]] for row in rows], horizon) for level in levels
    ]
    return Forecasts(
        predictions=_padded([row["prediction"] for row in rows], horizon),
        references=_padded([row["reference"] for row in rows], horizon),
        levels=levels,
        quantiles=np.array(quantiles).reshape(len(levels), len(rows), horizon),
        scales=np.array([row.get("scale") for row in rows], np.float64),
        squared_scales=np.array([row.get("squared_scale") for row in rows], np.float64),
    )


def _padded(values: Sequence[Sequence[float | None]], horizon: int) -> np.ndarray:
    matrix = np.full((len(values), horizon), np.nan)
    for row, steps in zip(matrix, values, strict=True):
        row[: len(steps)] = np.array(steps, np.float64)  # None becomes NaN
    return matrix


def forecast_scores(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Scores forecasts; missing references are left out.

    Args:
        rows: Rows of `predictions/`.

    Returns:
        Averaged over all values of all rows: `mae`; `rmse`; `smape` from 0 to 200, as in the M3
        competition (Makridakis & Hibon, 2000), 0 where both values are 0. Averaged over rows
        whose scale is positive: `mase` (Hyndman & Koehler, 2006) and `rmsse` (of the M5
        competition). If there are quantiles: `pinball`, the mean pinball loss of all levels;
        `crps`, twice as much, which approximates the continuous ranked probability score by the
        given levels: exact in the limit of many levels that are equally spaced. If there are
        the levels of an interval of 80 or 95 %: `coverage_80`, the share of references in it, and
        `width_80`, its mean width. Scores without any value are left out.
    """
    return _scores(_statistics(forecasts_of(rows)))


def scores_by_step(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Returns the scores of `forecast_scores` for each step of the horizon.

    Each entry has `step`, counted from 1. `mase` and `rmsse` divide the errors of one step by the
    scales of the series.
    """
    forecasts = forecasts_of(rows)
    return [
        {"step": index + 1, **_scores(_statistics(forecasts.at_step(index)))}
        for index in range(forecasts.predictions.shape[1])
    ]


def series_statistics(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, list[float]]]:
    """Returns the statistics of each row whose sums determine the scores.

    Each is a sum and the number of its terms: of values, or for `mase` and `rmsse` of rows.
    """
    statistics = _statistics(forecasts_of(rows))
    return [
        {name: matrix[number].tolist() for name, matrix in statistics.items()}
        for number in range(len(rows))
    ]


def _statistics(forecasts: Forecasts) -> dict[str, np.ndarray]:
    """Returns the sum and the count of each statistic, `(rows, 2)`."""
    references = forecasts.references
    absolute = np.abs(references - forecasts.predictions)
    sizes = np.abs(references) + np.abs(forecasts.predictions)
    statistics = {
        "mae": _sum_and_count(absolute),
        "squared_error": _sum_and_count(absolute**2),
        "smape": _sum_and_count(200 * absolute / np.where(sizes == 0, 1, sizes)),
        "mase": _scaled(_row_means(absolute), forecasts.scales),
        "rmsse": _scaled(
            np.sqrt(_row_means(absolute**2)), np.sqrt(np.fmax(forecasts.squared_scales, 0))
        ),
    }
    if forecasts.levels:
        levels = np.array(forecasts.levels)[:, None, None]
        errors = references - forecasts.quantiles
        losses = np.maximum(levels * errors, (levels - 1) * errors)
        statistics["pinball"] = _sum_and_count(losses.mean(axis=0))
    for percent, bounds in INTERVALS.items():
        if set(bounds) <= set(forecasts.levels):
            low, high = (forecasts.quantiles[forecasts.levels.index(bound)] for bound in bounds)
            known = ~np.isnan(references - low + high)
            inside = np.where(known, (low <= references) & (references <= high), np.nan)
            statistics[f"coverage_{percent}"] = _sum_and_count(inside)
            statistics[f"width_{percent}"] = _sum_and_count(np.where(known, high - low, np.nan))
    return statistics


def _sum_and_count(values: np.ndarray) -> np.ndarray:
    """Sums each row `(rows, horizon)` without its missing values."""
    return np.stack([np.nansum(values, axis=1), np.sum(~np.isnan(values), axis=1)], axis=1)


def _row_means(values: np.ndarray) -> np.ndarray:
    """Averages each row without its missing values; NaN where all are missing."""
    sums, counts = _sum_and_count(values).T
    return np.where(counts == 0, np.nan, sums / np.maximum(counts, 1))


def _scaled(errors: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Divides the error of each row by its scale; rows without a positive scale do not count."""
    usable = (scales > 0) & ~np.isnan(errors)
    return np.stack([np.where(usable, errors, 0) / np.where(usable, scales, 1), usable], axis=1)


def _scores(statistics: Mapping[str, np.ndarray]) -> dict[str, float]:
    sums = {name: matrix.sum(axis=0) for name, matrix in statistics.items()}
    return {
        score: float(from_sums(sums[name][None])[0])
        for score, (name, from_sums) in FORECAST_SCORES.items()
        if name in sums and sums[name][1] > 0
    }


def _mean(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[:, 0] / np.where(sums[:, 1] == 0, 1, sums[:, 1]))


def _root_mean(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(sums))


def _twice_the_mean(sums: np.ndarray) -> np.ndarray:
    return 2 * _mean(sums)


FORECAST_SCORES: dict[str, tuple[str, FromSums]] = {
    "mae": ("mae", _mean),
    "rmse": ("squared_error", _root_mean),
    "smape": ("smape", _mean),
    "mase": ("mase", _mean),
    "rmsse": ("rmsse", _mean),
    "pinball": ("pinball", _mean),
    "crps": ("pinball", _twice_the_mean),
    **{
        f"{name}_{percent}": (f"{name}_{percent}", _mean)
        for percent in INTERVALS
        for name in ("coverage", "width")
    },
}
"""The statistic of each score, and how the score follows from its sums."""


def owa(smape: float, mase: float, naive_smape: float, naive_mase: float) -> float:
    """Returns the overall weighted average of the M4 competition (Makridakis et al., 2020).

    It is the mean of sMAPE and MASE, each relative to that of the naive forecast of the seasonally
    adjusted series (`naive2`).
    """
    return (smape / naive_smape + mase / naive_mase) / 2


def seasonal_scale(history: np.ndarray, season_length: int) -> tuple[float, float]:
    """Returns the mean absolute and the mean squared seasonal naive error in a history.

    They are the denominators of MASE and RMSSE.

    Args:
        history: `(steps,)`; pairs with a missing value (NaN) are left out.
        season_length: 1 for series without a season.

    Returns:
        NaN for both if no pair of values is a season apart.
    """
    history = np.asarray(history, np.float64)
    differences = history[season_length:] - history[:-season_length]
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan"), float("nan")
    return float(np.abs(differences).mean()), float((differences**2).mean())


def diebold_mariano(
    errors_a: np.ndarray, errors_b: np.ndarray, horizon: int = 1, power: float = 2
) -> tuple[float, float]:
    """Tests whether two forecasts of one series are equally accurate (Diebold & Mariano, 1995).

    The statistic has the correction of Harvey, Leybourne and Newbold (1997) for small samples, and
    is compared with Student's distribution; so it is the paired t-test at a horizon of 1.

    Args:
        errors_a: Errors of one forecast at successive cutoffs, `(cutoffs,)`.
        errors_b: Errors of the other, `(cutoffs,)`.
        horizon: The number of steps that they look ahead: errors less than a horizon apart are
            correlated.
        power: The loss is the absolute error to this power.

    Returns:
        The statistic, negative if the first forecast is the better one, and the two-sided p-value.

    Raises:
        ValueError: If there are no more cutoffs than steps of the horizon.
    """
    losses = np.abs(np.asarray(errors_a)) ** power - np.abs(np.asarray(errors_b)) ** power
    losses = losses[~np.isnan(losses)]
    cutoffs, mean = len(losses), losses.mean() if len(losses) else 0.0
    if cutoffs <= max(1, horizon):
        raise ValueError(f"errors: more than {max(1, horizon)} cutoffs are needed, got {cutoffs}")
    centred = losses - mean
    covariances = [centred[lag:] @ centred[: cutoffs - lag] / cutoffs for lag in range(horizon)]
    variance = covariances[0] + 2 * sum(covariances[1:])
    if variance <= 0:  # sums of few covariances may be negative
        horizon, variance = 1, covariances[0]
    if variance == 0:
        return (0.0, 1.0) if mean == 0 else (float(np.copysign(np.inf, mean)), 0.0)
    correction = (cutoffs + 1 - 2 * horizon + horizon * (horizon - 1) / cutoffs) / cutoffs
    statistic = mean / np.sqrt(variance / cutoffs) * np.sqrt(correction)
    return float(statistic), float(2 * stdtr(cutoffs - 1, -abs(statistic)))
