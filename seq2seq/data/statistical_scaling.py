"""Scaling of windows around a statistical forecast, whose errors the model learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seq2seq.data.series_scaling import Scale, check_positive
from seq2seq.data.series_statistics import (
    DampedGrid,
    DampedTrend,
    Theta,
    damped_trend_forecast,
    seasonal_component,
    theta_forecast,
)

FORECASTS = ("theta", "theta_plain", "damped", "damped_plain", "level")
LIMIT = 20.0
"""Of scaled values and features."""
WITHOUT_SEASON = DampedGrid(betas=(0.0, 0.05, 0.1, 0.2, 0.3), slope_steps=12, slope_share=0.7)
CLIP = 5.0


@dataclass(frozen=True)
class StatisticalScaling:
    """Scales each window around a statistical forecast of it, fitted on its history alone.

    The logarithms of the history are seasonally adjusted; their future is forecast by Theta and
    damped trends (`seq2seq.data.series_statistics`). The mean of some of these forecasts is
    subtracted from the steps to come, so that a model which returns 0 forecasts it, and the model
    learns what can be improved; the past is relative to its level. All is divided by the mean
    absolute change of a step. The idea is that of hybrid models such as ES-RNN (Smyl, 2020,
    https://doi.org/10.1016/j.ijforecast.2019.03.017).

    The model also reads the seasonal component of each step, and features of the window: strength
    of the season, smoothing parameters, slopes, and all forecasts.

    Args:
        forecasts: The forecasts whose mean is subtracted, some of `theta`, `damped` (of
            logarithms), `theta_plain`, `damped_plain` (of the values themselves) and `level`.
        level: What past values are relative to: the `last` one, or the `smoothed` level.
        seasonal_features: Whether the seasonal component of the steps to come is a feature.
        history_length: The most steps that the statistics are fitted on.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    forecasts: Sequence[str] = ("theta", "damped_plain")
    level: Literal["last", "smoothed"] = "last"
    seasonal_features: bool = False
    history_length: int = 130
    log = True
    subtracts = True
    is_slow = True

    def __post_init__(self) -> None:
        if not self.forecasts or not set(self.forecasts) <= set(FORECASTS):
            raise ValueError(
                f"forecasts: must be some of {', '.join(FORECASTS)}, got {list(self.forecasts)}"
            )
        if self.level not in ("last", "smoothed"):
            raise ValueError(f"level: must be last or smoothed, got {self.level!r}")
        if self.history_length < 2:
            raise ValueError(f"history_length: must be at least 2, got {self.history_length!r}")
        object.__setattr__(self, "forecasts", tuple(self.forecasts))

    def check(self, lowest: float, place: str = "A series") -> None:
        """Raises a `UserError` if the lowest value of a series has no logarithm."""
        advice = "task/scaling=statistical takes it; add a constant, or use task/scaling=window"
        check_positive(lowest, place, advice)

    def window_features(self, season_length: int, horizon: int) -> int:
        """Returns the number of features of a window."""
        seasonal = min(season_length, horizon) if self.seasonal_features else 0
        return 9 + len(FORECASTS) * len(_shown_steps(horizon)) + seasonal

    step_features = 1

    def fit(
        self, history: np.ndarray, observed: np.ndarray, season_length: int, horizon: int
    ) -> Scale:
        """Fits the scale of each window; see `WindowScaling.fit`."""
        self.check(float(np.min(np.where(observed, history, np.inf), initial=np.inf)))
        steps = history.shape[1]
        values, lengths = right_aligned(history, observed)
        logs = np.log(values)
        seasonal = seasonal_component(logs, season_length, horizon)
        adjusted = logs - seasonal.past
        theta, damped, forecasts = _forecasts(adjusted, horizon, season_length)
        changes = np.abs(np.diff(adjusted, axis=1))
        known = np.maximum((~np.isnan(changes)).sum(axis=1), 1)
        volatility = np.clip(np.nansum(changes, axis=1) / known, 0.003, None)
        factor = np.maximum(volatility, 0.01)[:, np.newaxis]
        last = adjusted[:, -1]
        level = (last if self.level == "last" else theta.level)[:, np.newaxis]
        chosen = [forecasts[:, FORECASTS.index(name)] for name in self.forecasts]
        shown = forecasts[:, :, _shown_steps(horizon)] - level[:, np.newaxis]
        signed = [damped.slope / factor[:, 0], theta.slope / factor[:, 0]]
        signed.append((last - theta.level) / factor[:, 0])
        deviation = np.sqrt(np.maximum(theta.variance, 1e-8))
        count = (~np.isnan(logs)).sum(axis=1)
        plain = [np.log(volatility) + 3, seasonal.strength, np.log(count) - 3.5]
        plain += [theta.alpha, damped.phi, np.log(deviation + 1e-4) + 3]
        features = [
            np.stack(plain, axis=1),
            np.clip(np.stack(signed, axis=1), -CLIP, CLIP),
            np.clip(shown.reshape(len(shown), -1) / factor, -LIMIT, LIMIT) / 3,
        ]
        if self.seasonal_features:
            shape = seasonal.future[:, : min(season_length, horizon)]
            features.append(np.clip(shape / factor, -2 * CLIP, 2 * CLIP))
        past = left_aligned(seasonal.past, lengths, steps)
        return Scale(
            past + np.where(observed, level, 0.0),
            seasonal.future + np.mean(chosen, axis=0),
            factor,
            is_log=True,
            limit=LIMIT,
            steps=np.clip(past / factor, -LIMIT, LIMIT)[..., np.newaxis],
            window=np.concatenate(features, axis=1),
            unsigned=len(plain),
        )


def _shown_steps(horizon: int) -> list[int]:
    """Returns the steps whose forecasts are features: the first, the last, and one between."""
    return sorted({0, horizon // 3, horizon - 1} if horizon > 6 else {0, horizon - 1})


def _forecasts(
    adjusted: np.ndarray, horizon: int, season_length: int
) -> tuple[Theta, DampedTrend, np.ndarray]:
    """Returns the methods on logarithms, and all forecasts, `(windows, FORECASTS, horizon)`."""
    size = np.nanmean(np.exp(adjusted), axis=1, keepdims=True)
    plain = np.exp(adjusted) / size
    grid = WITHOUT_SEASON if season_length == 1 else DampedGrid()
    theta = theta_forecast(adjusted, horizon)
    damped = damped_trend_forecast(adjusted, horizon, grid)

    def as_logarithm(forecast: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(forecast, 0.1) * size)

    by_name = {
        "theta": theta.forecast,
        "theta_plain": as_logarithm(theta_forecast(plain, horizon).forecast),
        "damped": damped.forecast,
        "damped_plain": as_logarithm(damped_trend_forecast(plain, horizon, grid).forecast),
        "level": np.repeat(theta.level[:, np.newaxis], horizon, axis=1),
    }
    return theta, damped, np.stack([by_name[name] for name in FORECASTS], axis=1)


def right_aligned(history: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns values at the right, NaN before the first, and the steps up to the last one.

    A missing value becomes the one before it.
    """
    steps = history.shape[1]
    numbers = np.arange(steps)
    last = np.maximum.accumulate(np.where(observed, numbers, -1), axis=1)
    filled = np.take_along_axis(history, np.maximum(last, 0), axis=1)
    filled = np.where(last < 0, np.nan, filled)
    lengths = last[:, -1] + 1
    places = numbers - (steps - lengths[:, np.newaxis])
    values = np.take_along_axis(filled, np.maximum(places, 0), axis=1)
    values = np.where(places < 0, np.nan, values)
    return values[:, -max(int(lengths.max(initial=1)), 1) :], lengths


def left_aligned(values: np.ndarray, lengths: np.ndarray, steps: int) -> np.ndarray:
    """Returns right-aligned values at the left, 0 behind them, `(windows, steps)`."""
    numbers = np.arange(steps)
    places = values.shape[1] - lengths[:, np.newaxis] + numbers
    real = numbers < lengths[:, np.newaxis]
    taken = np.take_along_axis(values, np.clip(places, 0, values.shape[1] - 1), axis=1)
    return np.where(real, taken, 0.0)
