"""The data of forecasting: windows of series, scaled by their own history."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.formats.series import Series
from seq2seq.data.formats.series_format import SeriesFormat
from seq2seq.data.records import SHOWN_PLACES, Record, field_value
from seq2seq.data.scale_cache import cached_scales
from seq2seq.data.series_columns import (
    CalendarFeature,
    Categories,
    NumberSequence,
    ragged,
    read_future,
    read_past,
)
from seq2seq.data.series_scaling import Scale, Scaling
from seq2seq.data.series_windows import SeriesWindows
from seq2seq.data.token_store import ColumnSpec, Encoder, RaggedColumn, TokenStore
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.models.forecaster import Forecaster, SeriesFeatures
from seq2seq.prediction_rows import ForecastRow
from seq2seq.progress import report, step
from seq2seq.tasks.base import Batch, Task
from seq2seq.training.distributions import Distribution

log = logging.getLogger(__name__)

Columns = Mapping[str, RaggedColumn]
FILE = "series.json"
CHUNK = 4096
"""Windows whose scales are fitted at once."""


class ScaledWindows(NamedTuple):
    """Windows as a model reads them, and how to undo their scaling."""

    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    """Scaled values of the forecast steps, float32 `(batch, horizon, targets)`; 0 where missing."""
    weights: np.ndarray
    """1 for values, 0 for missing ones, float32 `(batch, horizon, targets)`."""
    scales: list[Scale]
    """The scale of each target."""


class ForecastingData(Task[Forecaster, ForecastRow]):
    """The data part of `Forecasting`."""

    batching: SeriesWindows
    horizon: int
    context_length: int
    minimum_context: int
    season_length: int
    stride: int
    targets: Sequence[str]
    known: Sequence[str]
    past: Sequence[str]
    static: Sequence[str]
    calendar: Sequence[str]
    scaling: Scaling
    distribution: Distribution
    series_embedding: bool
    sorted_by = ()

    encoders: dict[str, NumberSequence | Categories]
    series_ids: list[str]
    frequency: str | None
    has_missing: bool
    conformal_offsets: dict[str, list[list[float]]]
    format: SeriesFormat
    _origins: dict[int, RaggedColumn]
    _scales: dict[int, list[Scale]]

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the scale of covariates, and collects static texts, series and missing values."""
        if isinstance(data, Series):
            self.format = data.format
        records = list(data.records("train"))
        first = records[0]
        for field in (*self.targets, *self.known, *self.past, *self.static):
            field_value(first, field, "task")
        for field in (*self.known, *self.past):
            self.encoders[field] = NumberSequence(field).fit(records)
        for field in self.static:
            kind = Categories if isinstance(first[field], str) else NumberSequence
            self.encoders[field] = kind(field).fit(records)
        self.series_ids = [record["unique_id"] for record in records]
        self.frequency = first.get("frequency")
        values = [np.asarray(record[field]) for record in records for field in self.targets]
        self.has_missing = any(bool(np.isnan(array).any()) for array in values)
        lowest = min(np.nanmin(array, initial=np.inf) for array in values)
        self.scaling.check(float(lowest))

    def history_format(self) -> SeriesFormat:
        """Returns the format of files to forecast from: with the frequency of the training data.

        So a file of two dates suffices. Weeks may end on other days.
        """
        frequency = self.format.frequency or self.frequency
        if frequency is None or frequency.startswith("W"):
            return self.format
        return replace(self.format, frequency=frequency)

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns targets, covariates, static features, and where the split starts."""
        encoders: dict[str, tuple[str, Encoder]] = {}
        for field in self.targets:
            encoders[f"target.{field}"] = field, NumberSequence(field)
        for group in ("known", "past", "static"):
            for field in getattr(self, group):
                encoders[f"{group}.{field}"] = field, self.encoders[field]
        for part in self.calendar:
            for function in ("sin", "cos"):
                encoders[f"known.{part}.{function}"] = "ds", CalendarFeature(part, function)
        if self.series_embedding:
            numbers = {name: number for number, name in enumerate(self.series_ids)}
            encoders["series"] = "unique_id", SeriesNumbers(numbers)
        encoders["start"] = "start", NumberSequence("start")
        return {
            name: ColumnSpec(field, encoder, dtype=np.float64)
            for name, (field, encoder) in encoders.items()
        }

    def record_columns(self, records: Sequence[Record]) -> Columns:
        """Returns the same columns of records that are in no store."""
        return {
            name: ragged(spec.encoder.encode([record[spec.field] for record in records]))
            for name, spec in self.columns("test").items()
        }

    def origins(self, columns: Columns) -> RaggedColumn:
        """Returns the first forecast steps of all windows of each series.

        A training split has a window for each step with enough history; another split begins at
        its start, and goes on by `stride`. Windows without any value in history or forecast are
        left out.
        """
        targets = [columns[f"target.{field}"] for field in self.targets]
        offsets = targets[0].offsets
        start = columns["start"].tokens.astype(np.int64)
        is_training = start == 0
        stride = np.where(is_training, 1, self.stride)
        first = np.where(is_training, self.minimum_context, start)
        spare = np.diff(offsets) - self.horizon - first
        counts = np.where((spare >= 0) & (first >= self.minimum_context), spare // stride + 1, 0)
        series = np.repeat(np.arange(len(counts)), counts)
        number = np.arange(len(series)) - np.repeat(np.cumsum(counts) - counts, counts)
        origins = first[series] + number * stride[series]
        if self.has_missing:
            has_values = np.zeros(len(origins), bool)
            for column in targets:
                known = np.append(0, np.cumsum(~np.isnan(column.tokens)))
                begin, middle = offsets[series], offsets[series] + origins
                earliest = np.maximum(begin, middle - self.context_length)
                end = middle + self.horizon
                has_values |= (known[middle] > known[earliest]) & (known[end] > known[middle])
            series, origins = series[has_values], origins[has_values]
            counts = np.bincount(series, minlength=len(counts))
        return RaggedColumn(np.append(0, np.cumsum(counts)), origins)

    def scales(
        self, columns: Columns, series: np.ndarray, origins: np.ndarray, horizon: int
    ) -> list[Scale]:
        """Fits the scale of each window, for each target."""
        length = max(self.context_length, self.scaling.history_length)
        scales = []
        for field in self.targets:
            past, real = read_past(columns[f"target.{field}"], series, origins, length)
            observed = real & ~np.isnan(past)
            scale = self.scaling.fit(past, observed, self.season_length, horizon)
            scales.append(scale.last_steps(real.sum(axis=1), self.context_length))
        return scales

    def windows(
        self,
        columns: Columns,
        series: np.ndarray,
        origins: np.ndarray,
        horizon: int,
        scales: list[Scale] | None = None,
        mirrored: np.ndarray | None = None,
    ) -> ScaledWindows:
        """Reads and scales windows.

        Args:
            columns: The columns of all series.
            series: The series of each window, `(batch,)`.
            origins: Its first forecast step, `(batch,)`.
            horizon: The forecast steps.
            scales: The scales; None to fit them.
            mirrored: Whether the scaled values of each window change sign, `(batch,)`.
        """
        if scales is None:
            scales = self.scales(columns, series, origins, horizon)
        sign = np.ones((len(series), 1)) if mirrored is None else 1.0 - 2 * mirrored[:, np.newaxis]
        features, observed_features, labels, weights = [], [], [], []
        for field, scale in zip(self.targets, scales, strict=True):
            column = columns[f"target.{field}"]
            past, real = read_past(column, series, origins, self.context_length)
            observed = real & ~np.isnan(past)
            features.append(sign * np.where(observed, scale.up_to(past.shape[1]).past(past), 0.0))
            observed_features.append(observed)
            label = sign * scale.future(read_future(column, series, origins, horizon))
            weights.append(np.isfinite(label))
            labels.append(np.where(weights[-1], label, 0.0))
        if self.has_missing:
            features += observed_features
        for name in (*self._names("past", columns), *self._names("known", columns)):
            features.append(read_past(columns[name], series, origins, self.context_length).values)
        stacked = [np.nan_to_num(np.stack(features, axis=-1))]
        for scale in scales:
            if scale.steps is not None:
                stacked.append(sign[..., np.newaxis] * scale.steps[:, : real.shape[1]])
        inputs = {
            "past": np.concatenate(stacked, axis=-1).astype(np.float32),
            "past_length": real.sum(axis=1).astype(np.int32),
            **self._series_inputs(columns, series, origins, horizon),
            **self._scale_inputs(scales, sign),
        }
        return ScaledWindows(
            inputs,
            np.stack(labels, axis=-1).astype(np.float32),
            np.stack(weights, axis=-1).astype(np.float32),
            scales,
        )

    def _series_inputs(
        self, columns: Columns, series: np.ndarray, origins: np.ndarray, horizon: int
    ) -> dict[str, np.ndarray]:
        """Returns what is known in advance, and of each series."""
        inputs = {}
        if known := self._names("known", columns):
            steps = [read_future(columns[name], series, origins, horizon) for name in known]
            inputs["future"] = np.nan_to_num(np.stack(steps, axis=-1)).astype(np.float32)
        if static := self._names("static", columns):
            parts = [columns[name].tokens.reshape(len(columns[name].offsets) - 1, -1)
                     for name in static]  # fmt: skip
            inputs["static"] = np.concatenate(parts, axis=1)[series].astype(np.float32)
        if self.series_embedding:
            inputs["series"] = columns["series"].tokens[series].astype(np.int32)
        return inputs

    def _scale_inputs(self, scales: list[Scale], sign: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the features of the windows, and the factors of their scales."""
        inputs = {}
        parts = []
        for scale in scales:
            if scale.window is not None:
                parts += [
                    scale.window[:, : scale.unsigned],
                    sign * scale.window[:, scale.unsigned :],
                ]
        if parts:
            inputs["window"] = np.concatenate(parts, axis=1).astype(np.float32)
        if self.distribution.reads_factor:
            factors = [scale.factor[:, 0] for scale in scales]
            inputs["factor"] = np.stack(factors, axis=-1).astype(np.float32)
        return inputs

    @staticmethod
    def _names(group: str, columns: Columns) -> list[str]:
        return [name for name in columns if name.startswith(f"{group}.")]

    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns windows; `rows` are the columns of `SeriesWindow`."""
        series, number, mirrored = rows.T
        origins = self._store_origins(store)
        places = origins.offsets[series] + number
        scales = [scale.rows(places) for scale in self._store_scales(store)] or None
        inputs, labels, weights, _ = self.windows(
            store.columns, series, origins.tokens[places], self.horizon, scales, mirrored
        )
        last = inputs["past"][np.arange(len(rows)), inputs["past_length"] - 1, : len(self.targets)]
        inputs["target"] = np.concatenate([last[:, np.newaxis], labels[:, :-1]], axis=1)
        return inputs, labels, weights

    def _store_scales(self, store: TokenStore) -> list[Scale]:
        """Returns the scales of all windows of a store, computed once if the scaling is slow."""
        if not self.scaling.is_slow:
            return []
        if id(store) not in self._scales:
            self._scales[id(store)] = self._computed_scales(store)
        return self._scales[id(store)]

    def _computed_scales(self, store: TokenStore) -> list[Scale]:
        origins = self._store_origins(store)
        series = np.repeat(np.arange(len(store)), np.diff(origins.offsets))
        content = hashlib.sha256(store.hashes.tobytes() + origins.tokens.tobytes()).hexdigest()
        settings = [repr(self.scaling), self.season_length, self.horizon, self.context_length]

        def chunks(target: int) -> Iterator[Scale]:
            for start in range(0, len(series), CHUNK):
                report(start, len(series))
                rows = slice(start, start + CHUNK)
                places = series[rows], origins.tokens[rows]
                yield self.scales(store.columns, *places, self.horizon)[target]

        with step("fitting the scales of all windows"):
            return [
                cached_scales(
                    [content, *settings, field], partial(chunks, target), self.context_length
                )
                for target, field in enumerate(self.targets)
            ]

    def _store_origins(self, store: TokenStore) -> RaggedColumn:
        """Returns the origins of a store, computed once."""
        if id(store) not in self._origins:
            self._origins[id(store)] = self.origins(store.columns)
        return self._origins[id(store)]

    def lengths(self, store: TokenStore) -> np.ndarray:
        """Returns the number of windows of each series, `(series,)`."""
        return np.diff(self._store_origins(store).offsets)

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of forecast values."""
        return len(rows) * self.horizon * len(self.targets)

    def prepare(self, data: Dataset, seed: int, saved: Path | None = None) -> None:
        """Reads the series and plans the windows; see `Task.prepare`."""
        super().prepare(data, seed, saved)
        settings = [self.horizon, self.context_length, self.minimum_context, self.season_length]
        self.identity = json.dumps([self.identity, *settings, repr(self.scaling)])

    def describe_store(self, store: TokenStore) -> str:
        """Returns the number of steps and of windows."""
        counts = self.lengths(store)
        if not counts.any():
            raise UserError(
                f"No series is long enough for a window: task.minimum_context="
                f"{self.minimum_context} and task.horizon={self.horizon} steps are needed, and the "
                f"longest of {len(counts):,} series has {store.lengths[:, 0].max()} in this split. "
                "Lower one of them, or data.validation_length and data.test_length."
            )
        short = np.flatnonzero(counts == 0)
        left_out = ""
        if len(short):
            names = ", ".join(f"series {number + 1}" for number in short[:SHOWN_PLACES])
            more = ", ..." if len(short) > SHOWN_PLACES else ""
            left_out = f"; {len(short):,} too short for a window ({names}{more})"
        steps = len(store.columns[f"target.{self.targets[0]}"].tokens)
        return f"; {steps:,} steps, {counts.sum():,} windows{left_out}"

    def describe_batches(self) -> str:
        """Returns nothing: windows have hardly any padding."""
        return ""

    @property
    def example_arguments(self) -> dict[str, Any]:
        """The sizes without the widths of static texts, which the data decide."""
        return self._arguments(len(self.static), 2)

    def model_arguments(self) -> dict[str, Any]:
        """Returns the sizes of inputs and outputs."""
        widths = (len(e.names) if isinstance(e, Categories) else 1 for e in self._static_encoders())
        return self._arguments(sum(widths), len(self.series_ids))

    def _static_encoders(self) -> Iterable[NumberSequence | Categories]:
        return (self.encoders[field] for field in self.static)

    def _arguments(self, static: int, series: int) -> dict[str, Any]:
        targets, known = len(self.targets), len(self.known) + 2 * len(self.calendar)
        features = SeriesFeatures(
            horizon=self.horizon,
            targets=targets,
            outputs=self.distribution.size,
            past=targets * (1 + self.has_missing + self.scaling.step_features)
            + len(self.past)
            + known,
            future=known,
            static=static,
            series=series if self.series_embedding else 0,
            factor=self.distribution.reads_factor,
            window=targets * self.scaling.window_features(self.season_length, self.horizon),
        )
        return {"features": list(features)}

    def save(self, folder: Path) -> None:
        """Writes the encoders, and what else the training data decided."""
        encoders = {field: vars(encoder) for field, encoder in self.encoders.items()}
        content = {
            "encoders": encoders,
            "series_ids": self.series_ids if self.series_embedding else [],
            "frequency": self.frequency,
            "has_missing": self.has_missing,
            "conformal": self.conformal_offsets,
            "format": asdict(self.format),
        }
        write_text(folder / FILE, json.dumps(content, indent=1))

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        with open_model_file(folder / FILE, "description of series") as content:
            self.encoders = {
                field: (Categories if "names" in values else NumberSequence)(**values)
                for field, values in content["encoders"].items()
            }
            self.series_ids = [str(name) for name in content["series_ids"]]
            self.frequency, self.has_missing = content["frequency"], bool(content["has_missing"])
            self.conformal_offsets = content["conformal"]
            self.format = SeriesFormat(**content["format"])


class SeriesNumbers:
    """The numbers of series that training has, by their names."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self.numbers = numbers

    @property
    def fingerprint(self) -> str:
        """A hash of the names."""
        return json.dumps(list(self.numbers))

    def encode(self, values: Sequence[str]) -> list[np.ndarray]:
        """Returns the number of each series, float64 `(1,)`; UserError for an unknown one."""
        for name in values:
            if name not in self.numbers:
                known = ", ".join(list(self.numbers)[:SHOWN_PLACES])
                raise UserError(
                    f"series {name!r}: the model has learnt an embedding of each series, and does "
                    f"not know this one; it knows {known}, ... Train with "
                    "task.series_embedding=false for series of any name."
                )
        return [np.array([self.numbers[name]], float) for name in values]
