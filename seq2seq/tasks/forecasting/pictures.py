"""Pictures of evaluated forecasts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq.evaluation.forecasting import forecasts_of
from seq2seq.prediction_rows import ForecastRow
from seq2seq.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 6


def forecast_figures(evaluation: Evaluation) -> "dict[str, Figure]":
    """Draws `forecasts`, `error_by_step`, `residuals`, and with quantiles `calibration`."""
    from seq2seq.plots.forecasting import (
        ForecastExample,
        calibration_figure,
        error_by_step_figure,
        forecast_fan_figure,
        residuals_figure,
    )

    rows: Sequence[Any] = evaluation.rows
    arrays = forecasts_of(rows)
    several = len({row["target"] for row in rows}) > 1
    examples = [ForecastExample(**example_of(row, several)) for row in spread(rows, EXAMPLES)]
    has_scales = bool(np.isfinite(arrays.scales).any())
    metric = "mase" if has_scales else "mae"
    scales = arrays.scales[:, np.newaxis] if has_scales else 1.0
    figures = {
        "forecasts": forecast_fan_figure(examples),
        "error_by_step": error_by_step_figure(
            errors_by_method(evaluation.tables["by_step"], metric), metric.upper()
        ),
        "residuals": residuals_figure(
            (arrays.references - arrays.predictions) / scales, has_scales
        ),
    }
    if arrays.levels:
        known = ~np.isnan(arrays.references)
        below = [np.mean((arrays.references <= q)[known]) for q in arrays.quantiles]
        figures["calibration"] = calibration_figure(arrays.levels, below)
    return figures


def spread(rows: Sequence[ForecastRow], count: int) -> list[ForecastRow]:
    """Returns rows that are evenly spread over all of them."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    return [rows[place] for place in places]


def example_of(row: ForecastRow, with_target: bool) -> dict[str, Any]:
    """Returns a row as arrays; its name has the target if a series has several."""
    target = f": {row['target']}" if with_target else ""
    return {
        "name": f"{row['unique_id']}{target} after {row['cutoff']}",
        "history": np.array(row["history"], float),
        "reference": np.array(row["reference"], float),
        "forecast": np.array(row["prediction"]),
        "quantiles": {float(level): np.array(q) for level, q in row["quantiles"].items()},
        "times": [*row["history_ds"], *row["ds"]],
    }


def errors_by_method(table: Sequence[Mapping[str, Any]], metric: str) -> dict[str, list[float]]:
    """Returns the error of each step by method, the model first."""
    errors: dict[str, list[float]] = {}
    for line in table:
        errors.setdefault(line["method"], []).append(line.get(metric, float("nan")))
    return errors
