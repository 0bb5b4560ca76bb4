"""Number columns, standardised by the mean and standard deviation of the training records."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.formats.json_lines import open_model_file
from seq2seq.data.records import place_of
from seq2seq.errors import UserError

MAXIMUM_DEVIATIONS = 1e6
"""Standardised numbers are clipped to this, and to its negative."""


class NumberColumn:
    """Standardises one number of each record: subtracts the mean, divides by the deviation.

    Args:
        field: The field of the records.
        mean: The mean of the training records.
        deviation: Their standard deviation; 1 if all numbers are the same.

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
        """Computes mean and deviation of the finite numbers; raises UserError if there are none."""
        numbers = (finite_number(record.get(self.field)) for record in records)
        values = np.array([number for number in numbers if number is not None])
        if not len(values):
            raise UserError(f"No training record has a number in the field {self.field!r}.")
        self.mean, self.deviation = _moments(values)
        return self

    @property
    def fingerprint(self) -> str:
        """A hash of field, mean and deviation, in hexadecimal."""
        return hashlib.sha256(json.dumps(vars(self)).encode()).hexdigest()

    def encode(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Returns a float32 array for each value: `(1,)`, or `(0,)` if it is no finite number."""
        numbers = map(finite_number, values)
        return [np.array([] if x is None else [self._standardised(x)], np.float32) for x in numbers]

    def _standardised(self, number: float) -> float:
        value = (number - self.mean) / self.deviation
        if not math.isfinite(value):  # the difference overflowed
            value = number / self.deviation - self.mean / self.deviation
        return max(-MAXIMUM_DEVIATIONS, min(MAXIMUM_DEVIATIONS, value))


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Returns mean and standard deviation, even where the sum or the squares overflow."""
    if values.min() == values.max():
        return float(values[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if math.isfinite(mean) and math.isfinite(deviation) and deviation > 0:
        return mean, deviation
    scale = float(np.abs(values).max())
    mean, deviation = float((values / scale).mean()), float((values / scale).std())
    return mean * scale, deviation * scale or 1.0


def standardised_numbers(
    columns: Sequence[NumberColumn], records: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """Returns standardised numbers, float32 `(records, columns)`; UserError if one is missing."""
    numbers = np.zeros((len(records), len(columns)), np.float32)
    for j, column in enumerate(columns):
        values = [record.get(column.field, "nothing") for record in records]
        for i, number in enumerate(column.encode(values)):
            if not len(number):
                raise UserError(
                    f"{place_of(records[i], i + 1)}: the field {column.field!r} needs a number, "
                    f"not {values[i]!r}."
                )
            numbers[i, j] = number[0]
    return numbers


def finite_number(value: Any) -> float | None:
    """Returns a value as a finite number; `None` if it is not one."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def save_columns(columns: Iterable[NumberColumn], path: Path) -> None:
    """Writes columns as one JSON file."""
    path.write_text(json.dumps([vars(column) for column in columns], indent=1), encoding="utf-8")


def load_columns(path: Path) -> list[NumberColumn]:
    """Reads what `save_columns` wrote; raises UserError if the file is missing or damaged."""
    with open_model_file(path, "list of number columns") as content:
        if not all(isinstance(values["field"], str) for values in content):
            raise ValueError("a field is no text")
        return [NumberColumn(**values) for values in content]
