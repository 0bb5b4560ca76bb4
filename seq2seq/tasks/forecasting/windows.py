"""Windows of series as models read them: scaled by their own history."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from seq2seq.data.records import Record
from seq2seq.data.scale_cache import cached_scales
from seq2seq.data.series_columns import ragged, read_future, read_past
from seq2seq.data.series_scaling import Scale, Scaling
from seq2seq.data.series_windows import SeriesWindows
from seq2seq.data.token_store import RaggedColumn, TokenStore
from seq2seq.models.forecaster import Forecaster
from seq2seq.prediction_rows import ForecastRow
from seq2seq.progress import report, step
from seq2seq.tasks.base import Task
from seq2seq.tasks.task_data import Batch
from seq2seq.training.distributions import Distribution

Columns = Mapping[str, RaggedColumn]
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


class ForecastingWindows(Task[Forecaster, ForecastRow]):
    """The windows of `Forecasting`."""

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
    target_unit = "values"
    encoders_name = "scales of the covariates"
    has_missing: bool
    _origins: WeakKeyDictionary[TokenStore, RaggedColumn]
    _scales: WeakKeyDictionary[TokenStore, list[Scale]]

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
        if store not in self._scales:
            self._scales[store] = self._computed_scales(store)
        return self._scales[store]

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
        if store not in self._origins:
            self._origins[store] = self.origins(store.columns)
        return self._origins[store]

    def lengths(self, store: TokenStore) -> np.ndarray:
        """Returns the number of windows of each series, `(series,)`."""
        return np.diff(self._store_origins(store).offsets)

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of forecast values."""
        return len(rows) * self.horizon * len(self.targets)
