"""The data of forecasting: windows of series, scaled by their own history."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.formats.series import Series
from seq2seq.data.formats.series_format import SeriesFormat, season_length_of
from seq2seq.data.records import SHOWN_PLACES, field_value, place_of
from seq2seq.data.series_columns import (
    CalendarFeature,
    Categories,
    NumberSequence,
)
from seq2seq.data.token_store import ColumnSpec, Encoder, TokenStore
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.models.forecaster import SeriesFeatures
from seq2seq.tasks.forecasting.windows import ForecastingWindows

log = logging.getLogger(__name__)

FILE = "series.json"


class ForecastingData(ForecastingWindows):
    """The data part of `Forecasting`."""

    encoders: dict[str, NumberSequence | Categories]
    series_ids: list[str]
    frequency: str | None
    has_usual_season: bool
    conformal_offsets: dict[str, list[list[float]]]
    calibration_residuals: list[list[list[float]]]
    format: SeriesFormat

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
        if self.has_usual_season:
            self.season_length = season_length_of(self.frequency)
            by = f"by the frequency {self.frequency}" if self.frequency else "without dates"
            log.info("a season has %d steps, %s (task.season_length)", self.season_length, by)
        values = [np.asarray(record[field]) for record in records for field in self.targets]
        self.has_missing = any(bool(np.isnan(array).any()) for array in values)
        for number, record in enumerate(records, start=1):
            for field in self.targets:
                lowest = np.nanmin(np.asarray(record[field], float), initial=np.inf)
                self.scaling.check(float(lowest), place_of(record, number))

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

    def prepare(self, data: Dataset, seed: int, saved: Path | None = None) -> None:
        """Reads the series and plans the windows; see `Task.prepare`."""
        super().prepare(data, seed, saved)
        settings = [self.horizon, self.context_length, self.minimum_context, self.season_length]
        self.identity = json.dumps([self.identity, *settings, repr(self.scaling)])
        self._warn_of_untrained_series()

    def _warn_of_untrained_series(self) -> None:
        """Warns of series whose embedding no window trains."""
        without = np.flatnonzero(self.lengths(self.stores["train"]) == 0)
        if self.series_embedding and len(without):
            log.warning(
                "task.series_embedding: %d series have no window in train, so that their "
                "embeddings are never trained and their forecasts are poor: %s",
                len(without),
                self._series_names(without, self.stores["train"]),
            )

    def _series_names(self, numbers: np.ndarray, store: TokenStore) -> str:
        """Names the first ones of some series of a split, which may lack series of train."""
        has_all = len(self.series_ids) == len(store.lengths)
        names = [
            self.series_ids[number] if has_all else f"series {number + 1}"
            for number in numbers[:SHOWN_PLACES]
        ]
        return ", ".join(names) + ", ..." * (len(numbers) > SHOWN_PLACES)

    def describe_store(self, store: TokenStore) -> str:
        """Returns the number of steps and of windows."""
        counts = self.lengths(store)
        start = store.columns["start"].tokens
        own = int((store.lengths[:, 0] - start).max())
        if not counts.any() and start.any() and own < self.horizon:
            raise UserError(
                f"A split of {own} steps has no room for a forecast of {self.horizon} "
                "(task.horizon): raise data.validation_length or data.test_length."
            )
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
            left_out = (
                f"; {len(short):,} too short for a window ({self._series_names(short, store)})"
            )
        steps = len(store.columns[f"target.{self.targets[0]}"].tokens)
        return f"; {steps:,} steps, {counts.sum():,} windows{left_out}"

    def measured_lengths(self, store: TokenStore) -> dict[str, np.ndarray]:
        """Returns the steps of each series in its split, and its windows."""
        own = store.lengths[:, 0] - store.columns["start"].tokens.astype(np.int64)
        return {"steps": own, "windows": self.lengths(store)}

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns the scaled targets of each window: of its history, and of its horizon."""
        targets = len(self.targets)

        def written(steps: np.ndarray) -> str:  # (steps, targets)
            return ", ".join("/".join(f"{value:.4g}" for value in step) for step in steps)

        rows = zip(inputs["past"][..., :targets], inputs["past_length"], labels, strict=True)
        return [f"{written(past[:n])} -> {written(future)}" for past, n, future in rows]

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
            "season_length": self.season_length,
            "has_missing": self.has_missing,
            "conformal": self.conformal_offsets,
            "residuals": self.calibration_residuals,
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
            self.season_length = content.get("season_length", self.season_length)
            self.conformal_offsets = content["conformal"]
            self.calibration_residuals = content["residuals"]
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
