"""A run as an MLflow model: a pyfunc whose code is seq2seq's own, so that nothing is pickled."""

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

MODEL = "model"
"""The name of the model folder among the artifacts of the MLflow model."""

SOURCE = "source"
MOST_INPUTS = 10_000
MOST_CHARACTERS = 100_000
MOST_CHARACTERS_IN_ALL = 5_000_000
"""Of all inputs of a request together, each as often as it has hypotheses."""
MOST_HYPOTHESES = 100
SETTINGS = {
    "beam_size": DataType.long,
    "temperature": DataType.double,
    "top_k": DataType.long,
    "top_p": DataType.double,
    "seed": DataType.long,
}
"""Params that are settings of the search; the others are arguments of the predictor."""

HYPOTHESES = ("beam_size", "n_best")

PARAMS = {"decoding": DataType.string, "n_best": DataType.long, **SETTINGS}


class Predicts(Protocol):
    """What a served model calls: `Predictor`."""

    def __call__(
        self,
        inputs: Sequence[Any],
        *,
        decoding: str | None = None,
        settings: Mapping[str, Any] | None = None,
        n_best: int | None = None,
    ) -> list[Any]:
        """Returns one row an input."""


class ServedModel(PythonModel):  # type: ignore[misc]
    """Answers requests with a run's predictions.

    Inputs are a DataFrame with a column `source` (or one column without a name, as Spark sends), a
    list of sources, or a list of dicts with a key `source`. The answer is a DataFrame with a row
    for each.

    Args:
        load: Loads a model folder as a function.
    """

    # MLflow would take a type hint of `model_input` for a schema, and warns where there is none.
    _skip_type_hint_validation = True

    def __init__(self, load: Callable[[Path], Predicts]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._predict: Predicts | None = None

    def load_context(self, context: Any) -> None:
        """Loads the run's model folder."""
        try:
            self._predict = self._load(Path(context.artifacts[MODEL]))
        except UserError as error:
            raise _refused(str(error)) from error

    def predict(  # type: ignore[no-untyped-def]
        self, context, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predicts.

        Args:
            context: MLflow's.
            model_input: A DataFrame, a list of sources or of dicts, or an array of sources.
            params: `decoding`, `n_best`, `beam_size`, `temperature`, `top_k`, `top_p`, `seed`; what
                is null is as the run was configured.

        Returns:
            The columns `prediction` and whatever else the task tells of each input.

        Raises:
            MlflowException: If the request cannot be answered; a server answers 400.
        """
        assert self._predict is not None
        sources = sources_of(model_input)
        given = {name: value for name, value in (params or {}).items() if value is not None}
        check_params(given)
        _check_work(sources, max(given.get(name, 1) for name in HYPOTHESES))
        settings = {name: given.pop(name) for name in SETTINGS if name in given}
        options = {**given, **({"settings": settings} if settings else {})}
        try:
            with self._lock:  # one request has all cores; the others wait for less time so
                rows = self._predict(sources, **options)
        except (UserError, ValueError, TypeError) as error:
            raise _refused(str(error)) from error
        return pd.DataFrame.from_records(rows)


def check_params(params: Mapping[str, Any]) -> None:
    """Refuses numbers that have no meaning, or that would take the whole machine.

    Raises:
        MlflowException: If there is one.
    """
    for name, value in params.items():
        if PARAMS[name] is DataType.string:
            continue
        least = 1 if name in HYPOTHESES else 0
        most = MOST_HYPOTHESES if name in HYPOTHESES else math.inf
        if not math.isfinite(value) or not least <= value <= most:
            limits = f"from {least} to {most}" if most < math.inf else f"at least {least}"
            raise _refused(f"{name}: must be a number {limits}, got {value}")


def _check_work(sources: Sequence[Any], hypotheses: int) -> None:
    characters = sum(
        sum(len(str(item)) for item in (source if isinstance(source, list) else [source]))
        for source in sources
    )
    if characters * hypotheses > MOST_CHARACTERS_IN_ALL:
        raise _refused(
            f"a request may hold {MOST_CHARACTERS_IN_ALL:,} characters, got {characters:,}"
            f"{f' for {hypotheses} hypotheses each' if hypotheses > 1 else ''}; send several"
        )


def sources_of(model_input: Any) -> list[Any]:
    """The sources in a request.

    Raises:
        MlflowException: If there are none, too many, or something that is no source.
    """
    if isinstance(model_input, pd.DataFrame):
        sources = _column(model_input)
    elif isinstance(model_input, str | Mapping):
        sources = [model_input]
    else:
        sources = model_input.tolist() if isinstance(model_input, np.ndarray) else list(model_input)
    sources = [_source(value, number) for number, value in enumerate(sources)]
    if not sources:
        raise _refused("there is nothing to predict: the request holds no input")
    if len(sources) > MOST_INPUTS:
        raise _refused(
            f"a request may hold {MOST_INPUTS:,} inputs, got {len(sources):,}; send several"
        )
    return sources


def _column(frame: pd.DataFrame) -> list[Any]:
    if SOURCE in frame.columns:
        return list(frame[SOURCE])
    if len(frame.columns) > 1 or (len(frame.columns) == 1 and frame.columns[0] != 0):
        names = ", ".join(map(repr, frame.columns))
        raise _refused(f"the column {SOURCE!r} is missing; there are {names}")
    return list(frame.iloc[:, 0]) if len(frame.columns) else []


def _source(value: Any, number: int) -> Any:
    if isinstance(value, Mapping):
        if SOURCE not in value:
            raise _refused(f"input {number}: the key {SOURCE!r} is missing")
        value = value[SOURCE]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    items = value if isinstance(value, list) else [value]
    scalars = (str, int, float) if isinstance(value, list) else (str,)
    if not all(isinstance(item, scalars) for item in items):
        raise _refused(f"input {number}: must be a text, got {type(value).__name__}")
    if any(isinstance(item, float) and not math.isfinite(item) for item in items):
        raise _refused(f"input {number}: holds a number that is not finite")
    texts = [item for item in items if isinstance(item, str)]
    if sum(map(len, texts)) > MOST_CHARACTERS:
        raise _refused(f"input {number}: is longer than {MOST_CHARACTERS:,} characters")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise _refused(f"input {number}: holds an unpaired surrogate") from None
    return value


def _refused(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


def serve(load: Callable[[Path], Predicts]) -> None:
    """Called by the code file of a model: makes it the model that MLflow loads."""
    mlflow.models.set_model(ServedModel(load))


def signature_of(example: Any, row: Mapping[str, Any]) -> ModelSignature:
    """The signature of a run's model.

    Args:
        example: A source: a text, or a list of tokens.
        row: Its prediction.
    """
    kind = DataType.string if isinstance(example, str) else AnyType()
    outputs = [ColSpec(_type(row[name]), name) for name in row if name not in (SOURCE, "reference")]
    return ModelSignature(
        inputs=Schema([ColSpec(kind)]),
        outputs=Schema(outputs),
        params=ParamSchema([ParamSpec(name, kind, None) for name, kind in PARAMS.items()]),
    )


def _type(value: Any) -> Any:
    if isinstance(value, str):
        return DataType.string
    return DataType.double if isinstance(value, float) else AnyType()
