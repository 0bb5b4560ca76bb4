"""The base class of all tasks."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.models.base import ModelT
from seq2seq.prediction_rows import ForecastRow, Row, ScoredPair
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.observation import InputVocabulary, Observation
from seq2seq.tasks.padding import Batches
from seq2seq.tasks.prediction_graphs import collected_features
from seq2seq.tasks.prediction_options import DEFAULTS, PredictionOptions
from seq2seq.tasks.task_data import TaskData
from seq2seq.training.masked_loss_model import Loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RowT = TypeVar("RowT", bound=Row | ForecastRow)
"""The type of the task's predictions."""


class Task(TaskData, Generic[ModelT, RowT]):
    """What differs between translation, tagging, classification, ...

    A task turns records into batches, see `TaskData`, and a model's outputs into predictions and
    scores. It is either prepared from data, to train, or loaded from a model folder, to predict. A
    new task writes the abstract methods and sets `loss`; everything else has a default.
    `docs/new_task.md` has an example.

    Attributes:
        loss: The loss of each element, from labels, outputs of `loss_model` and weights.
        prediction_options: The `PredictionOptions` that apply, beside `batch_size`.
        takes_target: Whether `observe` takes a target for the decoder to read.
        input_fields: The fields of a record that predictions are made from; none for `source`.
        input_columns: Their columns in the table that was trained on, where these have other names.
    """

    loss: Loss
    prediction_options: ClassVar[frozenset[str]] = frozenset()
    takes_target: ClassVar[bool] = False
    input_fields: tuple[str, ...] = ()
    input_columns: Mapping[str, str] = MappingProxyType({})

    # The model.

    @property
    @abstractmethod
    def example_arguments(self) -> dict[str, Any]:
        """Possible `model_arguments`, to try a model's config before the data are read."""

    @abstractmethod
    def model_arguments(self) -> dict[str, Any]:
        """Returns the model's constructor arguments that follow from the data."""

    def check_model(self, model: ModelT) -> None:
        """Raises a `UserError` if the model cannot do what the task's settings require."""
        return

    def initialize(self, model: ModelT) -> None:
        """Sets weights of a new model that follow from the data, such as pretrained vectors."""
        return

    def calibrate(self, model: ModelT) -> None:
        """Fits the confidence of predictions on the validation split, after training."""
        return

    def input_vocabulary(self) -> InputVocabulary | None:
        """Returns the tokens of the model's input embedding; None if it has no one vocabulary."""
        return None

    def served_example(
        self, data: Dataset, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[Any, Mapping[str, Any]] | None:
        """Returns an input of the run as a served model, and a row of its answer.

        None if the task's runs cannot be served. By default the source of the first test row.
        """
        return (rows[0]["source"], rows[0]) if "source" in rows[0] else None

    # Prediction.

    def predict(
        self, model: ModelT, inputs: Sequence[Any], options: PredictionOptions = DEFAULTS
    ) -> list[RowT]:
        """Predicts for each input, in order; for what comes back see `predict_rows`.

        Args:
            model: The task's model; for an ensemble a sequence of several, see `check_ensemble`.
            inputs: Texts, or records without the fields that are predicted.
            options: How to predict, and which extra outputs to return.

        Raises:
            UserError: If an input or an option does not suit the task.
        """
        self.check_options(options, self.prediction_options)
        return self.predict_rows(model, inputs, options)

    @abstractmethod
    def predict_rows(
        self, model: ModelT, inputs: Sequence[Any], options: PredictionOptions
    ) -> list[RowT]:
        """Returns one row an input, with at least `source`, `prediction` and `score`."""

    def check_options(self, options: PredictionOptions, applicable: Iterable[str]) -> None:
        """Raises a `UserError` if an option is set that does not apply."""
        options.refuse_others(applicable, type(self).__name__)

    def score(
        self, model: ModelT, pairs: Sequence[Record], options: PredictionOptions = DEFAULTS
    ) -> list[ScoredPair]:
        """Returns how probable the model finds given targets.

        Args:
            model: As in `predict`.
            pairs: Records with `source` and `target`.
            options: `batch_size` and `alignments`.

        Returns:
            Rows with `source`, `target`, `score` (the log-probability, end token included),
            `target_tokens` and `token_scores`; if requested, `source_tokens` and `alignments`.

        Raises:
            UserError: If the task or its model cannot.
        """
        raise UserError(f"score: has no meaning for {type(self).__name__} runs.")

    def features(
        self, model: ModelT, inputs: Sequence[Any], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the vectors of inputs by name, see `SequenceModel.feature_model`.

        Returns:
            Float32 `(inputs, width)` each; zeros for an input without tokens, if it is left out.

        Raises:
            UserError: If the model has no encoder.
        """
        if model.feature_model is None:
            raise UserError(f"{type(self).__name__} runs have no encoder to take features from.")
        batches = self.feature_batches(model, inputs, batch_size)
        return collected_features(model.feature_model, batches, len(inputs))

    def feature_batches(self, model: ModelT, inputs: Sequence[Any], batch_size: int) -> Batches:
        """Yields numbers of inputs, and their batch as `feature_model` reads it."""
        raise NotImplementedError

    def check_ensemble(self, others: Sequence["Task[Any, Any]"]) -> None:
        """Raises a `UserError` if runs cannot predict together with this one; by default always."""
        raise UserError(f"Ensembles: {type(self).__name__} predicts with one run only.")

    def observe(self, model: ModelT, example: Any, target: str | None = None) -> Observation:
        """Predicts from one input while the calls of recurrent layers are recorded.

        With `takes_target`, a decoder reads the target instead of its own prediction.

        Raises:
            UserError: If the input has no token, or the task has no recurrent layers to observe.
        """
        raise UserError(f"{type(self).__name__} has no recurrent layers that can be looked into.")

    def observed_parts(self, record: Record) -> tuple[Any, str | None]:
        """Returns the input and the target to `observe` of a record."""
        return record, None

    # Export.

    def exported_functions(
        self, model: ModelT, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the functions that leave for other runtimes, `predict` first.

        Options that `predict` has outputs for, such as `alignments`, give the function these.

        Raises:
            UserError: If the task, its model or an option cannot be exported.
        """
        raise UserError(f"{type(self).__name__} runs cannot be exported.")

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Writes tokenizers and labels for other programs; returns what the manifest says of it."""
        return {}

    # Evaluation.

    @property
    @abstractmethod
    def score_names(self) -> Sequence[str]:
        """The names of the scores of `evaluate`; there need not be all of them for all records."""

    @abstractmethod
    def evaluate(self, model: ModelT, records: Iterable[Record]) -> Evaluation:
        """Predicts and scores records."""

    def validation_scores(self, model: ModelT, records: Iterable[Record]) -> dict[str, float]:
        """Returns the scores of `evaluate`, for each epoch of a training."""
        return self.evaluate(model, records).scores

    def figures(self, model: ModelT, evaluation: Evaluation) -> "dict[str, Figure]":
        """Returns figures of an evaluation by file name."""
        return {}
