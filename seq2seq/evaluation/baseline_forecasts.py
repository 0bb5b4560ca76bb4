"""Forecasts of the methods that a model should be better than.

The simple methods are numpy's; theta, ETS and ARIMA are statsforecast's, which is an order of
magnitude faster than statsmodels and selects models by itself.
"""

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from seq2seq.errors import UserError
from seq2seq.evaluation.forecasting import seasonal_scale

log = logging.getLogger(__name__)

STATISTICAL = {"theta": "Theta", "ets": "AutoETS", "arima": "AutoARIMA"}
"""The class of statsforecast of each method that is fitted."""

Simple = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
"""Returns forecasts and their standard deviations, each `(horizon,)`."""

Quantiles = dict[float, np.ndarray]


def baseline_forecasts(
    name: str,
    histories: Sequence[np.ndarray],
    horizon: int,
    season_length: int,
    levels: Sequence[float] = (),
) -> tuple[np.ndarray, Quantiles | None]:
    """Forecasts series one by one with a classical method.

    The quantiles of the simple methods are those of normally distributed errors (Hyndman &
    Athanasopoulos, 2021, section 5.5). Histories that are too short for a fitted method get the
    forecast of `seasonal_naive`, with a warning. Missing values are left out by the first
    three methods and interpolated linearly for the others.

    Args:
        name: `naive` (the last value), `seasonal_naive` (the last value of the same season),
            `drift` (the line from the first to the last value), `naive2` (the last value of the
            seasonally adjusted series, as in the M competitions: `owa` needs it),
            `theta` (Assimakopoulos & Nikolopoulos, 2000), `ets` or `arima`, the last two with
            automatic selection of the model; `arima` takes seconds for a monthly series.
        histories: The known values of each series, `(steps,)`; NaN where missing.
        horizon: The number of steps to forecast.
        season_length: 1 for series without a season.
        levels: Levels of the quantiles.

    Returns:
        The forecasts, `(series, horizon)`, and level to quantiles, `(series, horizon)`, which are
        None without levels.

    Raises:
        UserError: If there is no such method, it cannot be fitted to any series, or statsforecast
            is needed and not installed.
        ValueError: If a history has no value.
    """
    if name not in BASELINES:
        raise UserError(f"baseline {name!r}: is unknown. Choose one of {', '.join(BASELINES)}.")
    values = [np.asarray(history, np.float64) for history in histories]
    for number, history in enumerate(values):
        if np.isnan(history).all():
            raise ValueError(f"histories[{number}]: at least one value is needed")
    forecasts = np.empty((len(values), horizon))
    quantiles = np.empty((len(levels), len(values), horizon))
    if name in SIMPLE:
        for row, history in enumerate(values):
            forecasts[row], quantiles[:, row] = _simple(
                SIMPLE[name], history, horizon, season_length, levels
            )
    else:
        _fitted(name, values, season_length, levels, forecasts, quantiles)
    if not levels:
        return forecasts, None
    return forecasts, dict(zip(map(float, levels), quantiles, strict=True))


def _simple(
    method: Simple, history: np.ndarray, horizon: int, season_length: int, levels: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the forecast `(horizon,)` and its quantiles `(levels, horizon)`."""
    forecast, deviations = method(history, horizon, season_length)
    deviations = np.nan_to_num(deviations)  # a single value has no errors
    return forecast, forecast + ndtri(np.array(levels, np.float64))[:, None] * deviations


def _naive(history: np.ndarray, horizon: int, _: int) -> tuple[np.ndarray, np.ndarray]:
    steps = np.arange(1, horizon + 1)
    deviation = np.sqrt(seasonal_scale(history, 1)[1])
    return np.full(horizon, _known(history)[1][-1]), deviation * np.sqrt(steps)


def _seasonal_naive(
    history: np.ndarray, horizon: int, season_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Repeats the last known value of each season; the last of all where a season has none."""
    season = np.full(season_length, _known(history)[1][-1])
    seasons = np.arange(len(history)) - len(history)  # the step after the history is season 0
    positions, values = _known(history)
    season[seasons[positions] % season_length] = values  # the last one of a season stays
    steps = np.arange(horizon)
    deviation = np.sqrt(seasonal_scale(history, season_length)[1])
    return season[steps % season_length], deviation * np.sqrt(steps // season_length + 1)


def _drift(history: np.ndarray, horizon: int, _: int) -> tuple[np.ndarray, np.ndarray]:
    positions, values = _known(history)
    ahead = len(history) - 1 - positions[-1] + np.arange(1, horizon + 1)
    span = positions[-1] - positions[0]
    slope = (values[-1] - values[0]) / max(span, 1)
    errors = np.diff(history) - slope
    errors = errors[~np.isnan(errors)]
    if len(errors) < 2:
        return values[-1] + slope * ahead, np.zeros(horizon)
    deviation = np.sqrt(errors @ errors / (len(errors) - 1))
    return values[-1] + slope * ahead, deviation * np.sqrt(ahead * (1 + ahead / span))


def _naive2(history: np.ndarray, horizon: int, season_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Multiplies the naive forecast of the seasonally adjusted series by the seasonal indices."""
    filled = _interpolated(history)
    if filled.min() <= 0 or not _is_seasonal(filled, season_length):
        return _naive(history, horizon, season_length)
    positions = np.arange(len(filled) + horizon)
    indices = _seasonal_indices(filled, season_length)[positions % season_length]
    past, ahead = indices[: len(filled)], indices[len(filled) :]
    forecast, deviations = _naive(filled / past, horizon, 1)
    return forecast * ahead, deviations * ahead


def _is_seasonal(values: np.ndarray, season_length: int) -> bool:
    """Tests the autocorrelation at the season's lag at 90 %, as the M4 competition did."""
    if season_length == 1 or len(values) < 3 * season_length or np.ptp(values) == 0:
        return False
    centred = values - values.mean()
    correlations = np.array(
        [centred[lag:] @ centred[:-lag] for lag in range(1, season_length + 1)]
    ) / (centred @ centred)
    limit = 1.645 * np.sqrt((1 + 2 * (correlations[:-1] ** 2).sum()) / len(values))
    return bool(abs(correlations[-1]) > limit)


def _seasonal_indices(values: np.ndarray, season_length: int) -> np.ndarray:
    """Returns the indices of classical multiplicative decomposition, `(season_length,)`."""
    weights = np.ones(season_length)
    if season_length % 2 == 0:  # centred: the ends count half
        weights = np.concatenate([[0.5], weights[1:], [0.5]])
    trend = np.convolve(values, weights / season_length, mode="valid")
    margin = len(weights) // 2
    ratios = values[margin : margin + len(trend)] / trend
    seasons = (np.arange(len(ratios)) + margin) % season_length
    indices = np.bincount(seasons, ratios) / np.bincount(seasons)
    return np.asarray(indices / indices.mean())


def _interpolated(history: np.ndarray) -> np.ndarray:
    positions, values = _known(history)
    return np.interp(np.arange(len(history)), positions, values)


def _known(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the values that are not missing, and these values."""
    positions = np.flatnonzero(~np.isnan(history))
    return positions, history[positions]


SIMPLE: dict[str, Simple] = {
    "naive": _naive,
    "seasonal_naive": _seasonal_naive,
    "drift": _drift,
    "naive2": _naive2,
}
BASELINES = (*SIMPLE, *STATISTICAL)
"""The names of all methods."""


def _fitted(
    name: str,
    histories: Sequence[np.ndarray],
    season_length: int,
    levels: Sequence[float],
    forecasts: np.ndarray,
    quantiles: np.ndarray,
) -> None:
    """Fits a method to each series.

    Fills `forecasts`, `(series, horizon)`, and `quantiles`, `(levels, series, horizon)`.
    """
    make = getattr(_models(), STATISTICAL[name])
    horizon, replaced, error = forecasts.shape[1], 0, None
    for row, history in enumerate(histories):
        try:
            forecasts[row], quantiles[:, row] = _forecast(
                make(season_length=season_length), history, horizon, levels
            )
        except Exception as reason:  # of any type, where a history is too short
            replaced, error = replaced + 1, reason
            forecasts[row], quantiles[:, row] = _simple(
                _seasonal_naive, history, horizon, season_length, levels
            )
    if error and replaced == len(histories):
        raise UserError(
            f"baseline {name!r}: cannot be fitted to any of {replaced} series ({error}). "
            f"Choose one of {', '.join(SIMPLE)}."
        ) from error
    if replaced:
        log.warning(
            "%s cannot be fitted to %d of %d series: they get the forecast of seasonal_naive",
            name, replaced, len(histories),
        )  # fmt: skip


def _models() -> Any:
    """Imports the models of statsforecast, which takes seconds."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from statsforecast import models
    except ImportError as error:
        raise UserError(
            f"baselines {', '.join(STATISTICAL)}: statsforecast is needed and cannot be imported "
            f"({error}). Install it: pip install 'keras-seq2seq[forecasting]'"
        ) from error
    return models


def _forecast(
    model: Any, history: np.ndarray, horizon: int, levels: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the forecast `(horizon,)` and its quantiles `(levels, horizon)`.

    Raises:
        ValueError: If a value is not finite; and what the model raises.
    """
    bounds = {  # of two-sided intervals, in percent
        level: round(100 * abs(2 * level - 1), 6) for level in levels if level != 0.5
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = model.forecast(
            _interpolated(history), horizon, level=sorted({*bounds.values()}) or None
        )
    forecast = np.asarray(result["mean"], np.float64)
    quantiles = np.stack(
        [forecast]
        + [
            np.asarray(result[f"{'hi' if level > 0.5 else 'lo'}-{bounds[level]}"], np.float64)
            if level in bounds
            else forecast
            for level in levels
        ]
    )
    if not np.isfinite(quantiles).all():
        raise ValueError("the forecast has values that are not finite")
    return forecast, quantiles[1:]
