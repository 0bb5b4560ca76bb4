"""Forecasts: of any series, with quantiles, by one model or an ensemble."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.series_dates import future_dates
from seq2seq.data.records import Record, hash64, place_of
from seq2seq.errors import UserError
from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.models.base import ensemble_of
from seq2seq.models.forecaster import Forecaster
from seq2seq.prediction_rows import ForecastRow
from seq2seq.progress import report
from seq2seq.scores import number
from seq2seq.tasks.base import Task
from seq2seq.tasks.forecasting.data import ForecastingData
from seq2seq.tasks.forecasting.forecasts import Forecasts, undone
from seq2seq.tasks.forecasting.graphs import path_graph, point_graph
from seq2seq.tasks.forecasting.intervals import (
    adaptive_quantiles,
    quantile_levels,
    with_split_offsets,
)
from seq2seq.tasks.forecasting.windows import Columns, ScaledWindows
from seq2seq.tasks.observation import Observation
from seq2seq.tasks.padding import Batches
from seq2seq.tasks.prediction_options import PredictionOptions

EARLIER_ORIGINS, EARLIER_BATCH = 50, 1024
"""Origins whose errors adaptive intervals follow, and how many are forecast at once."""


class ForecastingPrediction(ForecastingData):
    """The prediction part of `Forecasting`."""

    prediction_options = frozenset({"horizon", "levels"})
    samples: int
    seed: int
    levels: Sequence[float]
    _graphs: dict[tuple[int, bool], Callable[..., Any]]

    def predict_rows(
        self,
        model: Forecaster | Sequence[Forecaster],
        inputs: Sequence[Record],
        options: PredictionOptions,
    ) -> list[ForecastRow]:
        """Forecasts the steps that follow each series.

        Args:
            model: The model, or those of an ensemble, whose forecasts and quantiles are averaged.
            inputs: Series as datasets yield them: `unique_id`, `ds`, the targets and the covariates
                by name; known covariates reach over the forecast steps, too.
            options: `horizon` (None for that of training), `levels` (of intervals, in percent).

        Returns:
            A row for each series and target.

        Raises:
            UserError: If a series lacks something, or the horizon is impossible.
        """
        horizon = self.horizon if options.horizon is None else options.horizon
        for member in ensemble_of(model):
            self.check_horizon(member, horizon)
        # What reads all steps at once forecasts all of them; the last ones are cut off.
        steps_made = max(horizon, self.horizon)
        if not inputs:
            return []
        records = [self._checked(record, number, horizon) for number, record in enumerate(inputs)]
        columns = self.record_columns(records)
        offsets = columns[f"target.{self.targets[0]}"].offsets
        series, origins = np.arange(len(records)), np.diff(offsets)
        levels = quantile_levels(options.levels)
        calibrated = self.conformal_offsets or self.calibration_residuals
        if levels and not self.distribution.has_quantiles and not calibrated:
            raise UserError(
                f"levels: the run forecasts points ({type(self.distribution).__name__}) without "
                "intervals; train with another task/distribution, or task.conformal=split."
            )
        made = self.forecasts(
            model, records, columns, (series, origins), steps_made, levels, options.batch_size
        )
        forecasts = Forecasts(made.points[:, :horizon], made.quantiles[:, :, :horizon])
        rows: list[ForecastRow] = []
        for place, record in enumerate(records):
            history = record["ds"][: origins[place]]
            steps = future_dates(history, self._frequency(record), horizon)
            rows += self.forecast_rows(record, steps, origins[place], forecasts, place, levels)
        return rows

    def history_steps(self) -> int:
        """Returns how many of the last steps of a series a forecast can depend on."""
        steps = max(self.context_length, self.scaling.history_length)
        return steps + (self.stride * EARLIER_ORIGINS if self.calibration_residuals else 0)

    def check_horizon(self, model: Forecaster, horizon: int) -> None:
        """Raises a `UserError` for a horizon that the model cannot forecast."""
        if horizon < 1:
            raise UserError(f"horizon: must be at least 1, got {horizon}.")
        if horizon > self.horizon and self.scaling.is_slow:
            raise UserError(
                f"horizon: {horizon} steps are asked for, and the run's scaling makes "
                f"{self.horizon}; train with a larger task.horizon."
            )
        if horizon > self.horizon and not model.feeds_back:
            raise UserError(
                f"horizon: {horizon} steps are asked for, and the model forecasts {self.horizon} "
                "at once; train with a larger task.horizon, or model=autoregressive_forecaster."
            )

    def _checked(self, record: Record, number: int, horizon: int) -> Record:
        """Returns a record with all fields that the model reads, extended over the horizon."""
        if not isinstance(record, Mapping):
            raise UserError(
                f"input {number + 1}: needs a series with unique_id, ds and "
                f"{', '.join(self.targets)}, not {type(record).__name__}."
            )
        place = place_of(record, number + 1)
        fields = (*self.targets, *self.known, *self.past, *self.static)
        for field in fields:
            if field not in record:
                raise UserError(
                    f"{place}: the model reads {field!r}; the series has {', '.join(record)}."
                )
        length = len(record[self.targets[0]])
        if length < max(self.minimum_context, 1):
            raise UserError(
                f"{place}: the series {record.get('unique_id', '')} has {length} steps, and the "
                f"model needs {max(self.minimum_context, 1)} (task.minimum_context)."
            )
        read = max(self.context_length, self.scaling.history_length)
        for field in self.targets:
            values = np.asarray(record[field][-read:], float)
            self.scaling.check(float(np.nanmin(values, initial=np.inf)), place)
        for field in self.known:
            if len(record[field]) < length + horizon:
                raise UserError(
                    f"{place}: the covariate {field!r}, known in advance, ends "
                    f"{len(record[field]) - length} steps after the history, and {horizon} are to "
                    "be forecast; add rows with it and an empty target."
                )
        has_ds = bool(record.get("ds"))
        steps = list(record["ds"] if has_ds else range(1, length + 1))[:length]
        if self.frequency and isinstance(steps[0], int) and (has_ds or self.calendar):
            raise UserError(
                f"{place}: the model was trained on dates (frequency {self.frequency}), and ds is "
                f"{'a number' if has_ds else 'missing'}; give the dates."
            )
        name = str(record.get("unique_id", f"series {number + 1}"))
        checked = {**record, "unique_id": name, "ds": steps, "start": length}
        if self.calendar:
            future = future_dates(steps, self._frequency(checked), max(horizon, self.horizon))
            checked["ds"] = [*steps, *future]
        return checked

    def _frequency(self, record: Record) -> str | None:
        """Returns the frequency of the dates of a checked record; None for steps."""
        has_steps = isinstance(record["ds"][0], int)
        return None if has_steps else record.get("frequency") or self.frequency

    def forecasts(
        self,
        model: Forecaster | Sequence[Forecaster],
        records: Sequence[Record],
        columns: Columns,
        places: tuple[np.ndarray, np.ndarray],
        horizon: int,
        levels: Sequence[float],
        batch_size: int,
    ) -> Forecasts:
        """Forecasts windows, given by the series and the first step of each."""
        series, origins = places
        keys = np.array([hash64(record["unique_id"]) % 2**31 for record in records], np.int32)
        parts = []
        for start in range(0, len(series), batch_size):
            report(start, len(series))
            rows = slice(start, start + batch_size)
            windows = self.windows(columns, series[rows], origins[rows], horizon)
            row_keys = keys[series[rows]]  # not the origin: a shorter history draws the same
            places = series[rows], origins[rows]
            members = [
                self._member(member, columns, places, windows, row_keys, horizon, levels)
                for member in ensemble_of(model)
            ]
            parts.append([np.mean(arrays, axis=0) for arrays in zip(*members, strict=True)])
        points, quantiles = zip(*parts, strict=True)
        return Forecasts(np.concatenate(points), np.concatenate(quantiles, axis=1))

    def _member(
        self,
        model: Forecaster,
        columns: Columns,
        places: tuple[np.ndarray, np.ndarray],
        windows: ScaledWindows,
        keys: np.ndarray,
        horizon: int,
        levels: Sequence[float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns points and quantiles of one model."""
        points, quantiles = self.scaled_forecast(model, windows, keys, horizon, levels)
        if self.conformal_offsets and levels:
            quantiles = with_split_offsets(quantiles, levels, self.conformal_offsets)
        elif self.calibration_residuals and levels:
            quantiles = self._adaptive_quantiles(model, columns, places, points, levels)
        ends = undone(quantiles, windows.scales)
        if self.distribution.has_counts:
            ends = np.round(ends)  # not exact after dividing by the factor
        return undone(points, windows.scales), ends

    def scaled_forecast(
        self,
        model: Forecaster,
        windows: ScaledWindows,
        keys: np.ndarray,
        horizon: int,
        levels: Sequence[float],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns scaled points and quantiles of one model, before any conformal offset.

        Quantiles are those of sample paths where the model feeds back, else of its distribution;
        where that has none, they are the points.
        """
        forecast = self._graph(model, sampled=False)(windows.inputs, horizon)
        points = forecast.values.numpy()
        if not self.distribution.has_quantiles or not levels:
            return points, np.broadcast_to(points, (len(levels), *points.shape))
        if not model.feeds_back:
            return points, self.distribution.quantiles(forecast.raw.numpy(), levels)
        paths = self._graph(model, sampled=True)(windows.inputs, horizon, keys)
        return points, np.quantile(paths.numpy(), levels, axis=0)

    def _adaptive_quantiles(
        self,
        model: Forecaster,
        columns: Columns,
        places: tuple[np.ndarray, np.ndarray],
        points: np.ndarray,
        levels: Sequence[float],
    ) -> np.ndarray:
        """Returns scaled quantiles from the errors at earlier origins of the same series."""
        series, origins = places
        horizon = points.shape[1]
        back = self.stride * np.arange(EARLIER_ORIGINS, 0, -1)
        earlier = origins[:, np.newaxis] - back  # (batch, EARLIER_ORIGINS)
        valid = earlier >= self.minimum_context
        residuals = np.full((*earlier.shape, *points.shape[1:]), np.nan)
        window, number = np.nonzero(valid)
        for start in range(0, len(window), EARLIER_BATCH):
            rows = slice(start, start + EARLIER_BATCH)
            at = earlier[window[rows], number[rows]]
            windows = self.windows(columns, series[window[rows]], at, horizon)
            forecast = self._graph(model, sampled=False)(windows.inputs, horizon)
            errors = windows.labels - forecast.values.numpy()
            errors = np.where(windows.weights > 0, errors, np.nan)
            residuals[window[rows], number[rows]] = errors
        calibration = np.array(self.calibration_residuals)
        return adaptive_quantiles(points, residuals, calibration, levels, self.stride)

    def _graph(self, model: Forecaster, sampled: bool) -> Callable[..., Any]:
        """Returns the forecast, or sample paths, as one graph, traced once for each model."""
        key = (id(model), sampled)
        if key not in self._graphs:
            self._graphs[key] = (
                path_graph(model, self.distribution, self.samples, self.seed)
                if sampled
                else point_graph(model, self.distribution)
            )
        return self._graphs[key]

    def sample_paths(
        self, model: Forecaster, records: Sequence[Record], horizon: int | None = None
    ) -> np.ndarray:
        """Draws futures of each series, float64 `(samples, series, horizon, targets)`.

        Raises:
            UserError: If the steps of the model's forecasts are independent of each other, or its
                distribution cannot be sampled.
        """
        steps = self.horizon if horizon is None else horizon
        if not model.feeds_back:
            raise UserError(
                "samples: the model forecasts each step by itself, so that its samples are no "
                "paths; train with model=autoregressive_forecaster."
            )
        checked = [self._checked(record, number, steps) for number, record in enumerate(records)]
        columns = self.record_columns(checked)
        origins = np.diff(columns[f"target.{self.targets[0]}"].offsets)
        windows = self.windows(columns, np.arange(len(checked)), origins, steps)
        keys = [hash64(record["unique_id"]) % 2**31 for record in checked]
        drawn = self._graph(model, sampled=True)(windows.inputs, steps, np.array(keys, np.int32))
        return undone(drawn.numpy(), windows.scales)

    def forecast_rows(
        self,
        record: Record,
        steps: Sequence[Any],
        origin: int,
        forecasts: Forecasts,
        number: int,
        levels: Sequence[float],
    ) -> list[ForecastRow]:
        """Returns the rows of one window, one for each target."""
        return [
            {
                "unique_id": record["unique_id"],
                "cutoff": record["ds"][origin - 1],
                "ds": list(steps),
                "target": target,
                "prediction": forecasts.points[number, :, column].tolist(),
                "quantiles": {
                    str(level): forecasts.quantiles[place, number, :, column].tolist()
                    for place, level in enumerate(levels)
                },
            }
            for column, target in enumerate(self.targets)
        ]

    def served_example(
        self, data: Dataset, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[Any, Mapping[str, Any]] | None:
        """Returns the history of the first test series as rows of a table, and a row of forecasts.

        Rows of the future have no target, and the covariates that are known in advance.
        """
        record, names = next(iter(data.records("test"))), self.format.columns
        start = record["start"]
        end = start + self.horizon if self.known else start
        id_column, ds_column = names["unique_id"] or "unique_id", names["ds"] or "ds"
        example: list[dict[str, Any]] = []
        for i in range(max(0, start - self.context_length), end):
            line = {id_column: record["unique_id"], ds_column: record["ds"][i]}
            line |= {field: record[field][i] if i < start else None for field in self.targets}
            line |= {field: record[field][i] for field in self.known}
            line |= {field: record[field][i] if i < start else None for field in self.past}
            example.append(line | {field: record[field] for field in self.static})
        answer = {id_column: record["unique_id"], ds_column: record["ds"][start]}
        return example, answer | {field: record[field][start] for field in self.targets}

    def feature_batches(
        self, model: Forecaster, inputs: Sequence[Record], batch_size: int
    ) -> Batches:
        """Yields the histories of series, with the forecast steps that covariates are known for."""
        records = [self._checked(record, i, self.horizon) for i, record in enumerate(inputs)]
        columns = self.record_columns(records)
        origins = np.diff(columns[f"target.{self.targets[0]}"].offsets)
        for start in range(0, len(records), batch_size):
            series = np.arange(start, min(start + batch_size, len(records)))
            windows = self.windows(columns, series, origins[series], self.horizon)
            yield series.tolist(), windows.inputs

    def observe(self, model: Forecaster, example: Any, target: str | None = None) -> Observation:
        """Observes the encoder; the prediction is the point forecast."""
        [row, *_] = self.predict(model, [example])
        [(_, inputs)] = self.feature_batches(model, [example], 1)
        with recorded_calls() as calls:
            assert model.feature_model is not None
            model.feature_model({name: tf.constant(part) for name, part in inputs.items()})
        steps = example.get("ds") or range(1, len(example[self.targets[0]]) + 1)
        read = [str(ds) for ds in steps][: len(example[self.targets[0]])][-self.context_length :]
        forecast = " ".join(number(value) for value in row["prediction"])
        return Observation(row["unique_id"], forecast, {"encoder": read}, calls)

    def check_ensemble(self, others: "Sequence[Task[Any, Any]]") -> None:
        """Raises a `UserError` if the runs forecast something else."""
        own = self._ensemble_settings()
        for other in others:
            if not isinstance(other, ForecastingPrediction):
                raise UserError("Ensembles: all runs must be of one task.")
            for name, value in other._ensemble_settings().items():
                if value != own[name]:
                    raise UserError(
                        f"Ensembles: all runs need the same task.{name}; they have {own[name]} and "
                        f"{value}."
                    )

    def _ensemble_settings(self) -> dict[str, Any]:
        names = [
            "horizon", "context_length", "season_length", "targets", "known", "past", "static",
            "calendar", "scaling", "has_missing", "series_ids",
        ]  # fmt: skip
        settings = {name: getattr(self, name) for name in names}
        own = ", ".join(f"{key}={value}" for key, value in vars(self.distribution).items())
        return settings | {"distribution": f"{type(self.distribution).__name__}({own})"}
