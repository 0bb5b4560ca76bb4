"""What an evaluation of a task returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seq2seq.prediction_rows import ForecastRow, Row


@dataclass(frozen=True)
class Evaluation:
    """Predictions for records with references, and their scores.

    Attributes:
        rows: One row a record, in the records' order.
        scores: Metric name to value.
        signatures: Metric name to how it was computed, for metrics that have a signature.
        tables: Further results by name, as rows of plain values.
        statistics: The statistics of each row, see `evaluation.item_statistics`; may be empty.
    """

    rows: Sequence[Row | ForecastRow]
    scores: dict[str, float]
    signatures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    statistics: Sequence[Mapping[str, Any]] = field(default_factory=list)
