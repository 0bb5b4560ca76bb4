"""Forecasts as arrays, in the units of the series."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seq2seq.data.series_scaling import Scale


class Forecasts(NamedTuple):
    """Forecasts of windows, in the units of the series."""

    points: np.ndarray
    """float64 `(windows, horizon, targets)`."""
    quantiles: np.ndarray
    """float64 `(levels, windows, horizon, targets)`."""


def undone(scaled: np.ndarray, scales: Sequence[Scale]) -> np.ndarray:
    """Returns scaled values `(..., batch, horizon, targets)` in the units of the series."""
    return np.stack([scale.undo(scaled[..., k]) for k, scale in enumerate(scales)], axis=-1)
