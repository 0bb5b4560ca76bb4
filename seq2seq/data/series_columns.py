"""Columns of series: how the values of a record become numbers, and how windows are read."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seq2seq.data.token_store import RaggedColumn
from seq2seq.errors import UserError

CALENDAR = ("month", "day_of_year", "day_of_month", "day_of_week", "hour", "minute")
"""The parts of a date that are features: the sine and the cosine of each."""


def fingerprint(values: Any) -> str:
    """Returns a hash of plain values, in hexadecimal."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


class NumberSequence:
    """The values of a field, standardised; by default as they are.

    Args:
        field: The field of the records: a list of numbers, or one number.
        mean: Subtracted from each.
        deviation: The divisor.

    Example:
        >>> NumberSequence("price").fit([{"price": [1, 3]}]).encode([[5]])
        [array([3.])]
    """

    def __init__(self, field: str, mean: float = 0.0, deviation: float = 1.0) -> None:
        if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
            raise ValueError(f"{field}: mean {mean} and deviation {deviation} are impossible")
        self.field, self.mean, self.deviation = field, mean, deviation

    def fit(self, records: Iterable[Mapping[str, Any]]) -> "NumberSequence":
        """Computes the mean and the deviation of all values that are not missing."""
        parts = [np.atleast_1d(np.asarray(record[self.field], np.float64)) for record in records]
        values = np.concatenate(parts)
        values = values[np.isfinite(values)]
        if len(values):
            self.mean, self.deviation = float(values.mean()), float(values.std()) or 1.0
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of field, mean and deviation."""
        return fingerprint([self.field, self.mean, self.deviation])

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns float64 `(steps,)` for each value."""
        arrays = (np.atleast_1d(np.asarray(value, np.float64)) for value in values)
        return [(array - self.mean) / self.deviation for array in arrays]


class Categories:
    """A text for each series as a vector with a 1; of zeros for a text that training lacks.

    Args:
        field: The field of the records.
        names: The texts.
    """

    def __init__(self, field: str, names: Sequence[str] = ()) -> None:
        self.field, self.names = field, list(names)

    def fit(self, records: Iterable[Mapping[str, Any]]) -> "Categories":
        """Collects the texts."""
        self.names = sorted({str(record[self.field]) for record in records})
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of field and names."""
        return fingerprint([self.field, self.names])

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns float64 `(names,)` for each value."""
        return [np.array([name == str(value) for name in self.names], float) for value in values]


class CalendarFeature:
    """The sine or the cosine of a part of each date, whose period is the circle.

    Args:
        part: One of `CALENDAR`.
        function: `sin` or `cos`.

    Raises:
        UserError: If the part is unknown.
    """

    field = "ds"

    def __init__(self, part: str, function: str) -> None:
        if part not in CALENDAR:
            raise UserError(f"task.calendar: must be some of {', '.join(CALENDAR)}, got {part!r}.")
        self.part, self.function = part, np.sin if function == "sin" else np.cos

    @property
    def fingerprint(self) -> str:
        """A hash of part and function."""
        return fingerprint([self.part, self.function.__name__])

    def encode(self, values: Sequence[Sequence[Any]]) -> list[np.ndarray]:
        """Returns float64 `(steps,)` for the dates of each series."""
        return [self.function(2 * np.pi * self._phases(dates)) for dates in values]

    def _phases(self, dates: Sequence[Any]) -> np.ndarray:
        if len(dates) and not isinstance(dates[0], str):
            raise UserError(
                f"task.calendar: {self.part} needs dates, and the series have steps, such as "
                f"{dates[0]!r}; set task.calendar=[]."
            )
        days = np.array(dates, "datetime64[s]")
        months = days.astype("datetime64[M]")
        match self.part:
            case "month":
                return (months.astype(int) % 12) / 12
            case "day_of_year":
                return (days.astype("datetime64[D]") - days.astype("datetime64[Y]")).astype(
                    int
                ) / 365.25
            case "day_of_month":
                return (days.astype("datetime64[D]") - months).astype(int) / 31
            case "day_of_week":
                return (days.astype("datetime64[D]").astype(int) + 3) % 7 / 7
            case "hour":
                return days.astype("datetime64[h]").astype(int) % 24 / 24
        return days.astype("datetime64[m]").astype(int) % 60 / 60


class Past(NamedTuple):
    """The steps before the origins of windows, right-padded to the longest."""

    values: np.ndarray
    """float64 `(batch, context_length)`; 0 in padding."""
    real: np.ndarray
    """Whether each is a step, not padding."""


def read_past(
    column: RaggedColumn, series: np.ndarray, origins: np.ndarray, context_length: int
) -> Past:
    """Reads up to `context_length` steps before each origin, without a copy of each series.

    Args:
        column: The values of all series.
        series: The series of each window, `(batch,)`.
        origins: The first forecast step of each window, `(batch,)`.
        context_length: The most steps.
    """
    lengths = np.minimum(origins, context_length)
    steps = np.arange(lengths.max(initial=1))
    first = column.offsets[series] + origins - lengths
    real = steps < lengths[:, np.newaxis]
    positions = np.where(real, first[:, np.newaxis] + steps, 0)
    return Past(np.where(real, column.tokens[positions], 0.0), real)


def read_future(
    column: RaggedColumn, series: np.ndarray, origins: np.ndarray, horizon: int
) -> np.ndarray:
    """Reads the steps from each origin on, float64 `(batch, horizon)`; NaN beyond the end."""
    positions = (column.offsets[series] + origins)[:, np.newaxis] + np.arange(horizon)
    beyond = positions >= column.offsets[series + 1][:, np.newaxis]
    values = column.tokens[np.minimum(positions, len(column.tokens) - 1)]
    return np.where(beyond, np.nan, values)


def ragged(arrays: Sequence[np.ndarray]) -> RaggedColumn:
    """Returns the arrays of all series as one column."""
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
    return RaggedColumn(offsets, np.concatenate(arrays).astype(np.float64))
