"""Forecasts of the methods that a model should be better than.

Naive, seasonal naive and drift are numpy's; theta, ETS and ARIMA are statsforecast's, which is 14
to 28 times as fast as statsmodels with theta, and 13 to 20 times with ETS (M3, one core).
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
    forecast of `seasonal_naive`, with a warning. Missing values are left out by the simple methods
    and interpolated linearly for the others.

    Args:
        name: `naive` (the last value), `seasonal_naive` (the last value of the same season),
            `drift` (the line from the first to the last value), `theta` (Assimakopoulos &
            Nikolopoulos, 2000), `ets` or `arima`, the last two with automatic selection of the
            model; a second for each monthly series is common for `arima`.
        histories: The known values of each series, `(steps,)`; NaN where missing.
        horizon: The number of steps to forecast.
        season_length: 1 for series without a season.
        levels: Levels of the quantiles.

    Returns:
        The forecasts, `(series, horizon)`, and level to quantiles, `(series, horizon)`, which are
        None without levels.

    Raises:
        UserError: If there is no such method, or statsforecast is needed and not installed.
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


def _known(history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the values that are not missing, and these values."""
    positions = np.flatnonzero(~np.isnan(history))
    return positions, history[positions]


SIMPLE: dict[str, Simple] = {
    "naive": _naive,
    "seasonal_naive": _seasonal_naive,
    "drift": _drift,
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
    """Fills forecasts `(series, horizon)` and quantiles `(levels, series, horizon)`."""
    make = getattr(_models(), STATISTICAL[name])
    horizon, replaced = forecasts.shape[1], 0
    for row, history in enumerate(histories):
        try:
            forecasts[row], quantiles[:, row] = _forecast(
                make(season_length=season_length), history, horizon, levels
            )
        except Exception:  # of any type, where a history is too short
            log.debug("histories[%d]: %s fails", row, name, exc_info=True)
            replaced += 1
            forecasts[row], quantiles[:, row] = _simple(
                _seasonal_naive, history, horizon, season_length, levels
            )
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
    positions, values = _known(history)
    filled = np.interp(np.arange(len(history)), positions, values)
    bounds = {  # of two-sided intervals, in percent
        level: round(100 * abs(2 * level - 1), 6) for level in levels if level != 0.5
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = model.forecast(filled, horizon, level=sorted({*bounds.values()}) or None)
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
