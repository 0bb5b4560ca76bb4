"""Forecasts of two runs side by side: by step, the test of Diebold and Mariano, and examples."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.comparison.finished_run import FinishedRun
from seq2seq.evaluation.forecasting import diebold_mariano, forecasts_of, scores_by_step
from seq2seq.scores import number

DIEBOLD_MARIANO = "Diebold-Mariano"
POWERS = {"mae": 1.0, "mase": 1.0, "smape": 1.0, "rmse": 2.0, "rmsse": 2.0}
"""The scores that the test stands beside, and the power of their errors."""

Row = Mapping[str, Any]


def errors_by_step(run: FinishedRun) -> tuple[str, dict[str, float]]:
    """Returns the name of the score, MASE where there are scales, and its value by step."""
    steps = scores_by_step(run.rows)
    metric = "mase" if all("mase" in step for step in steps) else "mae"
    return metric, {f"{step['step']:.0f}": step.get(metric, math.nan) for step in steps}


def diebold_mariano_p_value(
    metric: str, baseline: FinishedRun, system: FinishedRun
) -> float | None:
    """Returns the p-value of equal accuracy; None if the score has no errors, or too few items.

    With several series, the items are series, each with its mean loss; with one, they are its
    cutoffs, whose forecasts overlap.
    """
    if metric not in POWERS:
        return None
    losses = [item_losses(run, metric) for run in (baseline, system)]
    series = [row["unique_id"] for row in baseline.rows]
    names = list(dict.fromkeys(series))
    overlap = 1
    if len(names) > 1:
        codes = {name: place for place, name in enumerate(names)}
        of_series = np.array([codes[name] for name in series])
        counts = np.bincount(of_series)
        losses = [np.bincount(of_series, weights=values) / counts for values in losses]
    else:
        overlap = steps_between_independent(baseline.rows)
    try:
        return diebold_mariano(losses[0], losses[1], overlap, power=1)[1]
    except ValueError:
        return None


def item_losses(run: FinishedRun, metric: str) -> np.ndarray:
    """Returns the mean loss of each row, `(rows,)`, that a score of `POWERS` averages."""
    forecasts = forecasts_of(run.rows)
    losses = np.abs(forecasts.references - forecasts.predictions) ** POWERS[metric]
    if metric == "smape":
        sizes = np.abs(forecasts.references) + np.abs(forecasts.predictions)
        losses = losses / np.where(sizes == 0, 1, sizes)
    elif metric in ("mase", "rmsse"):
        scales = forecasts.scales if metric == "mase" else forecasts.squared_scales
        losses = losses / np.where(scales > 0, scales, np.nan)[:, np.newaxis]
    return np.nan_to_num(np.nanmean(losses, axis=1))


def steps_between_independent(rows: Sequence[Row]) -> int:
    """Returns how many cutoffs on a forecast does not overlap with another any more."""
    for place, row in enumerate(rows):
        if row["ds"][0] > rows[0]["ds"][-1]:
            return max(place, 1)
    return max(len(rows) - 1, 1)


def described(row: Row) -> tuple[str, str, str]:
    """Returns series and origin, reference, and forecast of a row as texts."""

    def text(values: Sequence[float | None]) -> str:
        return " ".join("?" if value is None else number(value) for value in values)

    origin = f"{row['unique_id']} after {row['cutoff']}"
    return origin, text(row["reference"]), text(row["prediction"])
