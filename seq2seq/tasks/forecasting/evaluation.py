"""Evaluation of forecasts from rolling origins, beside baselines; calibration of intervals."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.evaluation.baseline_forecasts import BASELINES, baseline_forecasts
from seq2seq.evaluation.conformal import rows_needed
from seq2seq.evaluation.forecasting import (
    INTERVALS,
    forecast_scores,
    owa,
    scores_by_step,
    seasonal_scale,
    series_statistics,
)
from seq2seq.models.forecaster import Forecaster
from seq2seq.prediction_rows import ForecastRow
from seq2seq.progress import step
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.forecasting.intervals import kept_residuals, quantile_levels, split_offsets
from seq2seq.tasks.forecasting.prediction import ForecastingPrediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BASELINES", "ForecastingEvaluation"]

log = logging.getLogger(__name__)

BATCH_SIZE = 256
REFERENCE = "naive2"
"""The baseline that `owa` is relative to."""
EXAMPLES = 6


class ForecastingEvaluation(ForecastingPrediction):
    """The evaluation part of `Forecasting`."""

    baselines: Sequence[str]
    conformal: str

    @property
    def score_names(self) -> Sequence[str]:
        """The scores of points, and where there are quantiles those of intervals."""
        names = ["mae", "rmse", "smape", "mase", "rmsse"]
        if self._scored_levels():
            names += ["pinball", "crps"]
            scored = [f"{level:g}" for level in self.levels if f"{level:g}" in INTERVALS]
            names += [f"{kind}_{level}" for level in scored for kind in ("coverage", "width")]
        return names

    def _scored_levels(self) -> list[float]:
        has_intervals = self.distribution.has_quantiles or self.conformal != "none"
        return quantile_levels(self.levels) if has_intervals else []

    def evaluate(self, model: Forecaster, records: Iterable[Record]) -> Evaluation:
        """Forecasts from all origins of a split, and from the same ones with the baselines."""
        records = list(records)
        rows = self._forecast_split(model, records)
        scores = forecast_scores(rows)
        by_method = {"model": rows}
        for name in self.baselines:
            with step(f"forecasting with {name}"):
                by_method[name] = self._baseline_rows(name, records, rows)
        tables = {
            "baselines": compared(by_method),
            "by_step": [
                {"method": name, **line}
                for name, forecast in by_method.items()
                for line in scores_by_step(forecast)
            ],
        }
        if "owa" in (first := tables["baselines"][0]):
            scores["owa"] = float(first["owa"])
        return Evaluation(rows, scores, tables=tables, statistics=series_statistics(rows))

    def validation_scores(self, model: Forecaster, records: Iterable[Record]) -> dict[str, float]:
        """Returns the scores without baselines, for each epoch of a training."""
        return forecast_scores(self._forecast_split(model, list(records)))

    def _forecast_split(self, model: Forecaster, records: Sequence[Record]) -> list[ForecastRow]:
        """Forecasts from all origins; rows have references and the scales of MASE and RMSSE."""
        columns = self.record_columns(records)
        origins = self.origins(columns)
        series = np.repeat(np.arange(len(records)), np.diff(origins.offsets))
        if not len(series):
            raise UserError(
                f"No series has {self.horizon} steps to forecast (task.horizon) after "
                f"{self.minimum_context} steps of history (task.minimum_context)."
            )
        levels = self._scored_levels()
        forecasts = self.forecasts(
            model, records, columns, (series, origins.tokens), self.horizon, levels, BATCH_SIZE
        )
        rows: list[ForecastRow] = []
        places = zip(series.tolist(), origins.tokens.tolist(), strict=True)
        for number, (one, origin) in enumerate(places):
            record, end = records[one], origin + self.horizon
            earliest = max(0, origin - 2 * self.horizon)
            for row in self.forecast_rows(
                record, record["ds"][origin:end], origin, forecasts, number, levels
            ):
                values = record[row["target"]]
                history = np.asarray(values[:origin], float)
                absolute, squared = seasonal_scale(history, self.season_length)
                row["history_ds"] = record["ds"][earliest:origin]
                row["history"] = _plain(values[earliest:origin])
                row["reference"] = _plain(values[origin:end])
                row["season_length"] = self.season_length
                row["scale"] = _positive(absolute)
                row["squared_scale"] = _positive(squared)
                rows.append(row)
        return rows

    def _baseline_rows(
        self, name: str, records: Sequence[Record], rows: Sequence[ForecastRow]
    ) -> list[ForecastRow]:
        """Returns the rows with the forecasts of a baseline."""
        by_id = {record["unique_id"]: record for record in records}
        places = {id(record): {ds: i for i, ds in enumerate(record["ds"])} for record in records}
        histories = []
        for row in rows:
            record = by_id[row["unique_id"]]
            origin = places[id(record)][row["cutoff"]] + 1
            histories.append(np.asarray(record[row["target"]][:origin], float))
        levels = sorted({float(level) for row in rows[:1] for level in row["quantiles"]})
        points, quantiles = baseline_forecasts(
            name, histories, self.horizon, self.season_length, levels
        )
        by_level = quantiles or {}
        return [
            {
                **row,
                "prediction": points[number].tolist(),
                "quantiles": {
                    str(level): values[number].tolist() for level, values in by_level.items()
                },
            }
            for number, row in enumerate(rows)
        ]

    def calibrate(self, model: Forecaster) -> None:
        """Fits the intervals on the validation split, with `conformal`."""
        if self.conformal == "none":
            return
        store = self.stores["validation"]
        origins = self.origins(store.columns)
        series = np.repeat(np.arange(len(store)), np.diff(origins.offsets))
        points, quantiles, labels = [], [], []
        levels = quantile_levels(self.levels)
        for start in range(0, len(series), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            windows = self.windows(store.columns, series[rows], origins.tokens[rows], self.horizon)
            keys = series[rows].astype(np.int32)
            scaled = self.scaled_forecast(model, windows, keys, self.horizon, levels)
            points.append(scaled[0])
            quantiles.append(scaled[1])
            labels.append(np.where(windows.weights > 0, windows.labels, np.nan))
        truth = np.concatenate(labels)
        if self.conformal == "split":
            together = np.concatenate(quantiles, axis=1)
            self.conformal_offsets = split_offsets(
                truth, together, levels, self.distribution.has_quantiles
            )
        else:
            self.calibration_residuals = kept_residuals(truth - np.concatenate(points))
        log.info("intervals: calibrated on %s validation windows", f"{len(truth):,}")

    def prepare(self, data: Dataset, seed: int, saved: Path | None = None) -> None:
        """Also checks that there are enough windows to calibrate intervals."""
        super().prepare(data, seed, saved)
        if self.conformal == "none":
            return
        windows = int(self.lengths(self.stores["validation"]).sum())
        if windows < (needed := rows_needed(quantile_levels(self.levels))):
            percents = ", ".join(f"{percent:g}" for percent in self.levels)
            raise UserError(
                f"task.conformal: intervals of {percents} percent need {needed} windows of "
                f"validation, and there are {windows}. Set a larger data.validation_length, "
                "task.stride=1, or lower task.levels."
            )

    def figures(self, model: Forecaster, evaluation: Evaluation) -> "dict[str, Figure]":
        """Draws `forecasts`, `error_by_step`, `residuals`, and with quantiles `calibration`."""
        from seq2seq.tasks.forecasting.pictures import forecast_figures

        return forecast_figures(evaluation)


def compared(by_method: Mapping[str, Sequence[ForecastRow]]) -> list[dict[str, Any]]:
    """Returns the scores of each method, with `owa` where there is the reference of it."""
    scores = {name: forecast_scores(rows) for name, rows in by_method.items()}
    lines: list[dict[str, Any]] = []
    for name, own in scores.items():
        line: dict[str, Any] = {"method": name, **own}
        reference = scores.get(REFERENCE, {})
        if {"smape", "mase"} <= own.keys() & reference.keys():
            line["owa"] = owa(own["smape"], own["mase"], reference["smape"], reference["mase"])
        lines.append(line)
    for line in lines[1:]:
        shown = [f"{score} {line[score]:.4g}" for score in ("smape", "mase") if score in line]
        log.info("%s: %s", line["method"], ", ".join(shown))
    return lines


def _plain(values: Sequence[float]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _positive(value: float) -> float | None:
    return float(value) if np.isfinite(value) and value > 0 else None
