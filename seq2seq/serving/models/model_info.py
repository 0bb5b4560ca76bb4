"""What clients can know about a served model: its task, inputs and options."""

import csv
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from seq2seq.errors import UserError
from seq2seq.models.base import ensemble_of
from seq2seq.serving.limits import Limits
from seq2seq.serving.models.served_run import ServedRun
from seq2seq.tasks.forecasting import Forecasting

log = logging.getLogger(__name__)

USUAL_LEVELS = (50.0, 80.0, 95.0)


class InputField(BaseModel):
    """A field of an input, or a column of a table of series."""

    name: str
    kind: Literal["text", "tokens", "number", "column"]


class ModelInfo(BaseModel):
    """A model: its task, its inputs, and the options that it has.

    Attributes:
        name: Its name in the routes.
        version: Of a registered model `models:/NAME/NUMBER`, of a folder a hash of its files.
        task: `translation`, `tagging`, `classification`, `generation` or `forecasting`.
        fields: The fields of an input; a model with one text takes it alone, too.
        example: An input of the test data by field, for forecasts a table as `csv`; None if the run
            folder has none.
        attention: Whether `alignments` of a translation, or `attention` of a classification, can be
            requested.
        labels: The labels that can be predicted.
        several_labels: Whether a prediction is a set of labels.
        targets: The columns that are forecast.
        horizon: The steps of a forecast unless requested otherwise.
        maximum_horizon: The most steps of a forecast.
        maximum_length: The most tokens of a continuation.
        levels: The intervals of a forecast, in percent: those of the evaluation, and 50, 80 and 95
            if there can be any; empty if the run forecasts points alone.
    """

    name: str
    version: str
    task: str
    fields: list[InputField]
    example: dict[str, str] | None = None
    attention: bool = False
    labels: list[str] = []
    several_labels: bool = False
    targets: list[str] = []
    horizon: int | None = None
    maximum_horizon: int | None = None
    maximum_length: int | None = None
    levels: list[float] = []


def model_info(name: str, run: ServedRun, limits: Limits) -> ModelInfo:
    """Returns what clients can know about a run."""
    task: Any = run.predictor.task
    model: Any = ensemble_of(run.predictor.model)[0]
    info = ModelInfo(
        name=name, version=run.version, task=run.task, fields=[], labels=task.label_names()
    )
    if isinstance(task, Forecasting):
        _add_forecasting(info, task, model, limits)
    elif run.task == "classification":
        numbers = {column.field for column in task.numbers}
        info.fields = [
            InputField(name=field, kind="number" if field in numbers else "text")
            for field in task.input_fields
        ]
        info.several_labels = task.labels.several
        info.attention = "text_weights" in model.prediction_model.output
    elif run.task == "tagging":
        columns = task.tokenizer.settings["columns"]
        info.fields = [InputField(name="tokens", kind="tokens" if columns else "text")]
        info.fields += [InputField(name=column, kind="tokens") for column in columns]
    else:
        info.fields = [InputField(name="source", kind="text")]
        info.attention = getattr(model, "alignment_model", None) is not None
        info.maximum_length = limits.length if run.task == "generation" else None
    info.example = _example(run, info)
    return info


def _add_forecasting(info: ModelInfo, task: Forecasting, model: Any, limits: Limits) -> None:
    names = list(_columns(task))
    info.fields = [InputField(name=name, kind="column") for name in names]
    info.targets, info.horizon = list(task.targets), task.horizon
    is_fixed = task.scaling.is_slow or not model.feeds_back
    info.maximum_horizon = task.horizon if is_fixed else limits.horizon
    if task.distribution.has_quantiles or task.calibration_residuals:
        info.levels = list(USUAL_LEVELS)
    calibrated = {round(abs(200 * float(level) - 100), 4) for level in task.conformal_offsets}
    if calibrated:
        info.levels = []
    else:
        calibrated = set(task.levels) if info.levels else set()
    info.levels = sorted({*info.levels, *calibrated} - {0.0})


def _columns(task: Forecasting) -> Iterator[str]:
    """Yields the columns of a table of series; of the wide layout those that it always has."""
    form = task.history_format()
    if form.layout == "long" and form.columns["unique_id"]:
        yield form.columns["unique_id"]
    if form.columns["ds"]:
        yield form.columns["ds"]
    if form.layout == "long":
        yield from (*form.series_columns, *form.static)


def _example(run: ServedRun, info: ModelInfo) -> dict[str, str] | None:
    """Returns an input from the predictions of the run's test data."""
    path = run.folder / "predictions" / "test.jsonl"
    try:
        rows = _first_rows(path, max(1, len(info.targets)))
        if isinstance(task := run.predictor.task, Forecasting):
            return _series_example(task, rows)
        row = rows[0]
        if run.task == "tagging":
            is_text = info.fields[0].kind == "text"
            tokens = row["source"] if is_text else " ".join(row["tokens"])
            return {"tokens": tokens} if len(info.fields) == 1 else None
        names = [field.name for field in info.fields]
        texts = [row[key] for key in ("source", "source2") if key in row]
        return dict(zip(names, texts, strict=True))
    except (OSError, ValueError, LookupError, TypeError, UserError):
        log.debug("%s: has no example", path)
        return None


def _first_rows(path: Path, count: int) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line, _ in zip(file, range(count), strict=False)]


def _series_example(task: Forecasting, rows: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """Returns the history of a series as CSV; None if the model reads other columns, too."""
    form = task.history_format()
    if form.covariates != () or form.static or form.layout != "long":
        return None
    by_target = {row["target"]: row for row in rows}
    first = by_target[task.targets[0]]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=form.delimiter, lineterminator="\n")
    columns = {form.columns["unique_id"]: None, form.columns["ds"]: first["history_ds"]}
    columns |= {target: by_target[target]["history"] for target in task.targets}
    columns = {name: values for name, values in columns.items() if name}
    writer.writerow(columns)
    for i in range(len(first["history_ds"])):
        line = [first["unique_id"] if v is None else v[i] for v in columns.values()]
        writer.writerow([f"{x:.10g}" if isinstance(x, float) else x for x in line])
    return {"csv": stream.getvalue()}
