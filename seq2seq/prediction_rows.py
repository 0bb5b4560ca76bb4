"""The types of predictions, and reading and writing them as JSON lines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Required, TypedDict

from seq2seq.errors import UserError
from seq2seq.files import write_text

if TYPE_CHECKING:
    import pandas as pd


class TokenOutputs(TypedDict, total=False):
    """Extra outputs for each token of a text."""

    target_tokens: list[str]
    token_scores: list[float]
    source_tokens: list[str]
    alignments: list[list[float]]
    """The weight of each source token for each target token."""


class Hypothesis(TokenOutputs):
    """One of several predictions of an input."""

    prediction: Required[str]
    score: Required[float]
    labels: NotRequired[list[str]]


class Row(TypedDict):
    """The fields of all predictions."""

    source: str
    prediction: str
    score: float
    """The log-probability of the prediction; 0 where the task has no probabilities."""
    reference: NotRequired[str]
    references: NotRequired[list[str]]
    """All correct predictions, where the data have several; the main one is `reference`."""


class TextRow(Row, TokenOutputs):
    """A predicted text: a translation, or the continuation of a text."""

    hypotheses: NotRequired[list[Hypothesis]]
    """All hypotheses, best first."""


class ScoredPair(TokenOutputs):
    """The log-probability of a given target."""

    source: Required[str]
    target: Required[str]
    score: Required[float]


class TagRow(Row):
    """A label for each token; `prediction` and `reference` are the labels joined by spaces."""

    tokens: list[str]
    labels: list[str]
    token_probabilities: list[float]
    reference_labels: NotRequired[list[str]]
    hypotheses: NotRequired[list[Hypothesis]]


class ClassRow(Row):
    """The class, or a set of classes, of one or two texts.

    A set has `labels`; its `prediction` and `reference` are the labels joined by a delimiter.
    """

    probabilities: dict[str, float]
    """The probability of each class, by name."""
    source2: NotRequired[str]
    attention: NotRequired[dict[str, list[tuple[str, float]]]]
    """The tokens of each text with their weights."""
    labels: NotRequired[list[str]]
    reference_labels: NotRequired[list[str]]


class ForecastRow(TypedDict):
    """The forecast of one target of one series, from one origin."""

    unique_id: str
    cutoff: str | int
    """The date or step of the last step of the history."""
    ds: list[str] | list[int]
    """The dates or steps of the forecast."""
    target: str
    prediction: list[float]
    quantiles: dict[str, list[float]]
    """The quantiles by their level, such as `0.1`."""
    history_ds: NotRequired[list[str] | list[int]]
    history: NotRequired[list[float | None]]
    """The last values before the forecast; None where one is missing."""
    reference: NotRequired[list[float | None]]
    season_length: NotRequired[int]
    scale: NotRequired[float | None]
    """The mean absolute error of the seasonal naive forecast in the history, for MASE."""
    squared_scale: NotRequired[float | None]
    """The mean squared error of the same, for RMSSE."""


Kind = Literal["text", "tags", "class", "label set", "forecast"]
"""What a row predicts."""


def kind_of(row: Mapping[str, Any]) -> Kind:
    """Returns what a row predicts, determined by its fields."""
    if "cutoff" in row:
        return "forecast"
    if "tokens" in row and "labels" in row:
        return "tags"
    if "probabilities" in row:
        return "label set" if "labels" in row else "class"
    return "text"


def references_of(row: Mapping[str, Any]) -> list[str]:
    """Returns all correct predictions of a text."""
    return list(row.get("references") or [row["reference"]])


def reference_text(row: Mapping[str, Any]) -> str:
    """Returns all correct predictions of a text as one, for people."""
    return " | ".join(references_of(row))


def labels_of(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the reference labels and the predicted labels of a row that is not a text."""
    if kind_of(row) == "class":
        return [row["reference"]], [row["prediction"]]
    if "reference_labels" in row:
        return row["reference_labels"], row["labels"]
    return str(row["reference"]).split(" "), row["labels"]  # tags written by an older version


def interval_ends(row: Mapping[str, Any], name: str) -> dict[str, list[float]]:
    """Returns the ends of a forecast's intervals by column, such as `NAME-lo-80`."""
    ends = {}
    for level, values in row["quantiles"].items():
        if (percent := 200 * abs(float(level) - 0.5)) > 0:
            ends[f"{name}-{'lo' if float(level) < 0.5 else 'hi'}-{percent:g}"] = values
    return ends


def steps_of(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Returns forecasts in the long format, a row for each series, origin, target and step.

    The columns are `unique_id`, `ds`, `cutoff`, `target`, `y` where there are references,
    `forecast`, and the ends of intervals; dates are datetime64.
    """
    import pandas as pd

    parts = []
    for row in rows:
        columns = {name: row[name] for name in ("unique_id", "ds", "cutoff", "target")}
        if "reference" in row:
            columns["y"] = row["reference"]
        columns["forecast"] = row["prediction"]
        parts.append(pd.DataFrame(columns | interval_ends(row, "forecast")))
    table = pd.concat(parts, ignore_index=True)
    for name in ("ds", "cutoff"):
        if not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = pd.to_datetime(table[name], format="ISO8601")
    if "y" in table:
        table["y"] = table["y"].astype(float)  # None where a value is missing
    return table


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads a file of `write_rows`, or raises UserError if a line is not a JSON object."""
    rows = []
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise UserError(f"{path}:{number}: a JSON object is needed.")
                rows.append(row)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged ({error}).") from error
    return rows
