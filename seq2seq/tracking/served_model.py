"""A run as an MLflow pyfunc model, loaded by seq2seq's own code, so that nothing is pickled.

Logged models import `serve` from here, so this module keeps its path.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import AnyType

from seq2seq.errors import UserError
from seq2seq.prediction_rows import Row
from seq2seq.request import PredictionRequest

MODEL = "model"
"""The name of the model folder among the artifacts of the MLflow model."""

SOURCE = "source"
NOT_ANSWERED = (SOURCE, "reference", "references")
"""The fields of a row that are no outputs."""
MAX_INPUTS = 10_000
MAX_CHARACTERS = 100_000
MAX_TOTAL_CHARACTERS = 5_000_000
"""Of all inputs of a request, each multiplied by its number of hypotheses."""
MAX_HYPOTHESES = 100

SEARCH_PARAMS = {
    "beam_size": DataType.long,
    "temperature": DataType.double,
    "top_k": DataType.long,
    "top_p": DataType.double,
    "seed": DataType.long,
}
"""Params that override settings of the run's search."""
PARAMS = {"decoding": DataType.string, "n_best": DataType.long, **SEARCH_PARAMS}
FORECAST_PARAMS = {"horizon": DataType.long, "level": DataType.double}
MAX_HORIZON = 10_000
HYPOTHESIS_COUNTS = ("beam_size", "n_best")


class Predicts(Protocol):
    """A loaded run, such as `seq2seq.inference.predictor.Predictor`."""

    @property
    def reads_tables(self) -> bool:
        """Whether it forecasts series, and reads and returns tables."""

    def predict(self, inputs: Sequence[Any], request: PredictionRequest) -> list[Row]:
        """Returns one row an input."""

    def predict_table(self, frame: pd.DataFrame, request: PredictionRequest) -> pd.DataFrame:
        """Returns the forecasts of the series of a table."""


class ServedModel(PythonModel):  # type: ignore[misc]
    """Answers requests with a run's predictions.

    Inputs are a DataFrame with a column `source` (or one unnamed column, as Spark sends), an array
    or list of sources, or a list of dicts with a key `source`. The answer is a DataFrame with a
    row for each.

    Args:
        load: Loads a model folder.
    """

    # MLflow would read a type hint of `model_input` as a schema, and warns if there is none.
    _skip_type_hint_validation = True

    def __init__(self, load: Callable[[Path], Predicts]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._predictor: Predicts | None = None

    def load_context(self, context: Any) -> None:
        """Loads the run's model folder."""
        try:
            self._predictor = self._load(Path(context.artifacts[MODEL]))
        except UserError as error:
            raise _invalid(str(error)) from error

    def predict(  # type: ignore[no-untyped-def]
        self, context, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Returns the column `prediction` and the other outputs of the task.

        Params are `decoding`, `n_best`, `beam_size`, `temperature`, `top_k`, `top_p` and `seed`;
        the run's config is the default. A run that forecasts answers a table of series with one
        of forecasts; its params are `horizon` and the `level` of an interval.

        Raises:
            MlflowException: If the request is invalid; a server answers 400.
        """
        assert self._predictor is not None
        if self._predictor.reads_tables:
            return self._forecast(self._predictor, model_input, params or {})
        sources = sources_of(model_input)
        options = {name: value for name, value in (params or {}).items() if value is not None}
        check_params(options)
        _check_size(sources, max(options.get(name, 1) for name in HYPOTHESIS_COUNTS))
        request = PredictionRequest(
            decoding=options.get("decoding"),
            settings={name: options[name] for name in SEARCH_PARAMS if name in options},
            n_best=options.get("n_best"),
        )
        try:
            with self._lock:  # each request uses all cores: in parallel, all would be slower
                rows = self._predictor.predict(sources, request)
        except (UserError, ValueError, TypeError) as error:
            raise _invalid(str(error)) from error
        return pd.DataFrame.from_records(rows)

    def _forecast(
        self, predictor: Predicts, model_input: Any, params: Mapping[str, Any]
    ) -> pd.DataFrame:
        horizon, level = params.get("horizon"), params.get("level")
        if horizon is not None and not 1 <= horizon <= MAX_HORIZON:
            raise _invalid(f"horizon: must be from 1 to {MAX_HORIZON:,}, got {horizon}")
        frame = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame(model_input)
        if frame.size > MAX_TOTAL_CHARACTERS:
            raise _invalid(f"a request may hold {MAX_TOTAL_CHARACTERS:,} values; send several")
        levels = () if level is None else (level,)
        request = PredictionRequest(horizon=horizon, levels=levels)
        try:
            with self._lock:
                return predictor.predict_table(frame, request)
        except (UserError, ValueError, TypeError) as error:
            raise _invalid(str(error)) from error


def check_params(params: Mapping[str, Any]) -> None:
    """Raises MlflowException for a number that is invalid, or would exhaust the machine."""
    for name, value in params.items():
        if PARAMS[name] is DataType.string:
            continue
        low, high = (1, MAX_HYPOTHESES) if name in HYPOTHESIS_COUNTS else (0, math.inf)
        if not math.isfinite(value) or not low <= value <= high:
            limits = f"from {low} to {high}" if high < math.inf else f"at least {low}"
            raise _invalid(f"{name}: must be a number {limits}, got {value}")


def _check_size(sources: Sequence[Any], hypotheses: int) -> None:
    characters = sum(
        sum(len(str(item)) for item in (source if isinstance(source, list) else [source]))
        for source in sources
    )
    if characters * hypotheses > MAX_TOTAL_CHARACTERS:
        raise _invalid(
            f"a request may hold {MAX_TOTAL_CHARACTERS:,} characters, got {characters:,}"
            f"{f' for {hypotheses} hypotheses each' if hypotheses > 1 else ''}; send several"
        )


def sources_of(model_input: Any) -> list[Any]:
    """Returns the sources of a request, or raises MlflowException."""
    if isinstance(model_input, pd.DataFrame):
        values = _column(model_input)
    elif isinstance(model_input, str | Mapping):
        values = [model_input]
    else:
        values = model_input.tolist() if isinstance(model_input, np.ndarray) else list(model_input)
    sources = [_source(value, number) for number, value in enumerate(values)]
    if not sources:
        raise _invalid("there is nothing to predict: the request holds no input")
    if len(sources) > MAX_INPUTS:
        raise _invalid(
            f"a request may hold {MAX_INPUTS:,} inputs, got {len(sources):,}; send several"
        )
    return sources


def _column(frame: pd.DataFrame) -> list[Any]:
    if SOURCE in frame.columns:
        return list(frame[SOURCE])
    if frame.columns.empty:
        return []
    if len(frame.columns) > 1 or frame.columns[0] != 0:
        names = ", ".join(map(repr, frame.columns))
        raise _invalid(f"the column {SOURCE!r} is missing; there are {names}")
    return list(frame.iloc[:, 0])


def _source(value: Any, number: int) -> Any:
    if isinstance(value, Mapping):
        if SOURCE not in value:
            raise _invalid(f"input {number}: the key {SOURCE!r} is missing")
        value = value[SOURCE]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    items = value if isinstance(value, list) else [value]
    scalars = (str, int, float) if isinstance(value, list) else (str,)
    if not all(isinstance(item, scalars) for item in items):
        raise _invalid(f"input {number}: must be a text, got {type(value).__name__}")
    if any(isinstance(item, float) and not math.isfinite(item) for item in items):
        raise _invalid(f"input {number}: holds a number that is not finite")
    texts = [item for item in items if isinstance(item, str)]
    if sum(map(len, texts)) > MAX_CHARACTERS:
        raise _invalid(f"input {number}: is longer than {MAX_CHARACTERS:,} characters")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise _invalid(f"input {number}: holds an unpaired surrogate") from None
    return value


def _invalid(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


def serve(load: Callable[[Path], Predicts]) -> None:
    """Sets the model that MLflow loads; the code file of each logged model calls it."""
    mlflow.models.set_model(ServedModel(load))


def input_example(example: Any) -> Any:
    """Returns the example of a logged model: a list of one source, or a table."""
    return pd.DataFrame(example) if _is_table(example) else [example]


def signature_of(example: Any, row: Mapping[str, Any]) -> ModelSignature:
    """Returns the signature of a run's model, from an input and a row of its prediction.

    The input is a source (text or tokens), or the rows of a table.
    """
    if _is_table(example):
        # Of any type, since MLflow would refuse integers for floats, and dates for texts.
        inputs = [ColSpec(AnyType(), name, required=False) for name in example[0]]
        params = FORECAST_PARAMS
    else:
        inputs = [ColSpec(DataType.string if isinstance(example, str) else AnyType())]
        params = PARAMS
    outputs = [ColSpec(_type(row[name]), name) for name in row if name not in NOT_ANSWERED]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec(name, kind, None) for name, kind in params.items()]),
    )


def _is_table(example: Any) -> bool:
    return isinstance(example, list) and bool(example) and isinstance(example[0], Mapping)


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return DataType.string
    if isinstance(value, int):
        return DataType.long
    return DataType.double if isinstance(value, float) else AnyType()
