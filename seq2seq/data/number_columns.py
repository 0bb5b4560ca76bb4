"""Columns of numbers, standardised by mean and deviation of the training records."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.data.records import place_of
from seq2seq.errors import UserError

MAXIMUM_DEVIATIONS = 1e6
"""Standardised numbers are clipped to this."""


class NumberColumn:
    """One number of each record, minus the mean of training and divided by its deviation.

    Args:
        field: The field of the records.
        mean: The mean of the training records.
        deviation: Their standard deviation; 1 where all are the same.

    Raises:
        ValueError: If mean or deviation is not finite, or the deviation not positive.

    Example:
        >>> column = NumberColumn("price").fit([{"price": 1}, {"price": "3"}])
        >>> column.encode(["4", "unknown"])
        [array([2.], dtype=float32), array([], dtype=float32)]
    """

    def __init__(self, field: str, mean: float = 0.0, deviation: float = 1.0) -> None:
        if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
            raise ValueError(f"{field}: mean {mean} and deviation {deviation} are impossible")
        self.field, self.mean, self.deviation = field, mean, deviation

    def fit(self, records: Iterable[Mapping[str, Any]]) -> "NumberColumn":
        """Computes mean and deviation of the finite numbers, and returns itself.

        Raises:
            UserError: If no record has a number.
        """
        numbers = (number_in(record.get(self.field)) for record in records)
        values = np.array([number for number in numbers if number is not None])
        if not len(values):
            raise UserError(f"No training record has a number in the field {self.field!r}.")
        self.mean, self.deviation = _moments(values)
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of everything that determines the numbers, in hexadecimal."""
        return hashlib.sha256(json.dumps(vars(self)).encode()).hexdigest()

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns one float32 array `(1,)` a value, or `(0,)` where it is no finite number."""
        numbers = map(number_in, values)
        return [np.array([] if x is None else [self._standardised(x)], np.float32) for x in numbers]

    def _standardised(self, number: float) -> float:
        """Returns a number in deviations from the mean, at most `MAXIMUM_DEVIATIONS` of them."""
        value = (number - self.mean) / self.deviation
        if not math.isfinite(value):
            value = number / self.deviation - self.mean / self.deviation
        return max(-MAXIMUM_DEVIATIONS, min(MAXIMUM_DEVIATIONS, value))


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Returns mean and standard deviation, also where sum or squares overflow."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if math.isfinite(mean) and math.isfinite(deviation) and deviation > 0:
        return mean, deviation
    scale = float(np.abs(values).max())
    mean, deviation = float((values / scale).mean()), float((values / scale).std())
    return mean * scale, deviation * scale or 1.0


def numbers_of(columns: Sequence[NumberColumn], records: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Returns the standardised numbers of records, float32 `(records, columns)`.

    Raises:
        UserError: If a record has no number, naming its place.
    """
    numbers = np.zeros((len(records), len(columns)), np.float32)
    for n, column in enumerate(columns):
        for i, number in enumerate(column.encode([r.get(column.field) for r in records])):
            if not len(number):
                value = records[i].get(column.field, "nothing")
                raise UserError(
                    f"{place_of(records[i], i + 1)}: the field {column.field!r} needs a number, "
                    f"not {value!r}."
                )
            numbers[i, n] = number[0]
    return numbers


def number_in(value: Any) -> float | None:
    """Returns a value as a finite number; `None` where it is not one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def save_columns(columns: Iterable[NumberColumn], path: Path) -> None:
    """Writes columns as one JSON file."""
    path.write_text(json.dumps([vars(column) for column in columns], indent=1), encoding="utf-8")


def load_columns(path: Path) -> list[NumberColumn]:
    """Reads what `save_columns` wrote.

    Raises:
        UserError: If the file is missing or damaged.
    """
    try:
        content = parsed_json(path.read_text("utf-8"))
        if not all(isinstance(values["field"], str) for values in content):
            raise ValueError("a field is no text")
        return [NumberColumn(**values) for values in content]
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{path}: cannot be read as columns of numbers ({error}).") from error
