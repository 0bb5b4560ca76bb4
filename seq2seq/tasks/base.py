"""The base class of all tasks, and what predictions and evaluations are."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import tensorflow as tf

from seq2seq.data.batching import Batching, batch_dataset, largest_of, padding_share
from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.records import Record
from seq2seq.data.series_windows import SeriesWindows
from seq2seq.data.token_store import ColumnSpec, TokenStore, build, report_shared_inputs
from seq2seq.data.tokenizers.tokenizer import UNKNOWN
from seq2seq.data.windows import Windows
from seq2seq.errors import UserError
from seq2seq.models.base import ModelT
from seq2seq.prediction_rows import ForecastRow, Row, ScoredPair
from seq2seq.progress import step
from seq2seq.tasks.evaluation import Evaluation
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.observation import InputVocabulary, Observation
from seq2seq.tasks.padding import Batches
from seq2seq.tasks.prediction_graphs import collected_features
from seq2seq.tasks.prediction_options import DEFAULTS, PredictionOptions
from seq2seq.tasks.vocabularies import Vocabulary
from seq2seq.training.batch_order import BatchOrder, Part
from seq2seq.training.masked_loss_model import Loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

PartT = TypeVar("PartT")
RowT = TypeVar("RowT", bound=Row | ForecastRow)
"""The type of the task's predictions."""

Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Inputs by name, labels and weights."""


class Task(ABC, Generic[ModelT, RowT]):
    """What differs between translation, tagging, classification, ...

    A task turns records into batches, and a model's outputs into predictions and scores. It is
    either prepared from data, to train, or loaded from a model folder, to predict. A new task
    writes the abstract methods and sets the attributes without a value here; everything else has a
    default. `docs/new_task.md` has an example.

    Attributes:
        loss: The loss of each element, from labels, outputs of `loss_model` and weights.
        sorted_by: The columns of tokens whose lengths decide on the batches; the last is sorted by
            first.
        prediction_options: The `PredictionOptions` that apply, beside `batch_size`.
        takes_target: Whether `observe` takes a target for the decoder to read.
        target_unit: What `count_targets` counts, for the speed of a training.
        encoders_name: What `fit_encoders` fits, for the progress.
        input_fields: The fields of a record that predictions are made from; none for `source`.
        input_columns: Their columns in the table that was trained on, where these have other names.
        stores: The tokenised records of each split, once prepared.
        batch_order: The order of the training batches, once prepared.
        identity: A hash of all that the order depends on, once prepared.
    """

    loss: Loss
    sorted_by: tuple[str, ...] = ("source",)
    prediction_options: ClassVar[frozenset[str]] = frozenset()
    takes_target: ClassVar[bool] = False
    target_unit: ClassVar[str] = "tokens"
    encoders_name: ClassVar[str] = "tokenizers"
    input_fields: tuple[str, ...] = ()
    input_columns: Mapping[str, str] = MappingProxyType({})
    batch_order: BatchOrder
    identity: str

    def __init__(self, batching: Batching | SeriesWindows | Windows) -> None:
        self.batching = batching
        self.stores: dict[str, TokenStore] = {}
        self._encoded_epoch: int | None = None

    # Data: records -> tokens -> batches.

    @abstractmethod
    def fit_encoders(self, data: Dataset) -> None:
        """Fits tokenizers, labels, ... on the training split alone."""

    @abstractmethod
    def columns(self, split: str) -> Mapping[str, ColumnSpec]:
        """Returns how the columns of a split's store are made from its records."""

    @abstractmethod
    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns inputs by name, labels, and weights (1, or 0 for padding) of rows of a store."""

    @property
    @abstractmethod
    def example_arguments(self) -> dict[str, Any]:
        """Possible `model_arguments`, to try a model's config before the data are read."""

    @abstractmethod
    def model_arguments(self) -> dict[str, Any]:
        """Returns the model's constructor arguments that follow from the data."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what prediction needs besides model and config."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises a `UserError` if a file is missing or damaged."""

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns what is in each row of a batch, for people: by default its ids and labels."""
        first = next(iter(inputs.values()))
        return [f"{row} -> {label}" for row, label in zip(first, labels, strict=True)]

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns how many labels of weight 1 the batch of these rows has; by default one a row."""
        return len(rows)

    def epoch_columns(self, seed: int, epoch: int) -> Mapping[str, ColumnSpec] | None:
        """Returns the columns of `train` in an epoch; None if they are the same in every epoch."""
        return None

    def describe_store(self, store: TokenStore) -> str:
        """Returns what the log says of a split after the number of its records."""
        unknown = [
            f"{100 * np.mean(np.asarray(store.columns[column].tokens) == UNKNOWN):.2f} %"
            for column in self.sorted_by
        ]
        return f"; {' / '.join(unknown)} unknown tokens"

    def describe_batches(self) -> str:
        """Returns what the log says of the training batches after their number."""
        padding = padding_share(self.lengths(self.stores["train"]), self.batch_order)
        return f", {100 * padding:.1f} % padding"

    def lengths(self, store: TokenStore) -> np.ndarray:
        """Returns the lengths that decide on the batches, `(rows, columns)`."""
        names = list(store.columns)
        return store.lengths[:, [names.index(column) for column in self.sorted_by]]

    def measured_lengths(self, store: TokenStore) -> dict[str, np.ndarray]:
        """Returns what `seq2seq check` measures of each record: by default its tokens by column."""
        return {name: np.diff(store.columns[name].offsets) for name in self.sorted_by}

    def prepare(self, data: Dataset, seed: int, saved: Path | None = None) -> None:
        """Fits the encoders on `train`, tokenises all splits and plans the batches.

        Args:
            data: The data.
            seed: The seed of the order of the training batches.
            saved: A model folder whose tokenizers and labels are used instead of fitted ones.

        Raises:
            UserError: If the data cannot be used.
        """
        with step("reading the data"):
            content = {s: data.fingerprint(s) for s in SPLITS}  # fails if one is missing
        with step(f"fitting the {self.encoders_name}"):
            self.fit_encoders(data)
        if saved is not None:
            self._load_encoders(saved)
        self.stores = {split: self._stored(data, split) for split in SPLITS}
        report_shared_inputs(self.stores)
        encoders = [spec.encoder.fingerprint for spec in self.columns("train").values()]
        settings = dict(vars(self.batching))
        if settings.get("curriculum_epochs") == 0:  # the same order as in versions without it
            del settings["curriculum_epochs"]
        self.identity = json.dumps([content["train"], *encoders, seed, settings])

        def plan(epoch: int) -> list[np.ndarray]:
            self._begin_epoch(data, seed, epoch)
            train = self.stores["train"]
            return self.batching.training_batches(self.lengths(train), train.hashes, seed, epoch)

        self.batch_order = BatchOrder(
            plan, lambda rows: self.count_targets(self.stores["train"], rows), self.target_unit
        )
        with step("planning the batches"):
            self.batch_order.begin(epoch=0, first_step=0)
        log.info("%d batches an epoch%s", len(self.batch_order), self.describe_batches())

    def _load_encoders(self, saved: Path) -> None:
        """Replaces the fitted tokenizers and labels by saved ones, which must have all labels."""
        fitted = self.label_names()
        self.load(saved)
        if unknown := sorted(set(fitted) - set(self.label_names())):
            advice = "" if self.vocabularies() is None else "; init_tokenizers=data adds them"
            raise UserError(
                f"init_from: the training data have labels that the run has not learned: "
                f"{', '.join(unknown[:5])}. It knows {', '.join(self.label_names()[:20])}{advice}"
            )

    def _stored(self, data: Dataset, split: str) -> TokenStore:
        columns = self.columns(split)
        with step(f"encoding the {split} data"):
            store = TokenStore.cached(data.fingerprint(split), lambda: data.records(split), columns)
        log.info("%s: %s%s", split, store.report, self.describe_store(store))
        return store

    def _begin_epoch(self, data: Dataset, seed: int, epoch: int) -> None:
        """Encodes the training split again if its columns differ from epoch to epoch."""
        columns = self.epoch_columns(seed, epoch)
        if columns is None or epoch == self._encoded_epoch:
            return
        with (
            step("encoding the train data for this epoch"),
            TemporaryDirectory(prefix="seq2seq-epoch-") as folder,
        ):
            build(data.records("train"), columns, Path(folder))
            self.stores["train"] = TokenStore(Path(folder))  # its files stay open
        self._encoded_epoch = epoch

    def training_data(self) -> tf.data.Dataset:
        """Returns the remaining batches of the epoch, `(inputs, labels, weights)`."""
        train = self.stores["train"]

        def make_part(part: Part) -> Batch:
            inputs, labels, weights = self.make_batch(train, part.rows)
            return inputs, labels, weights if part.is_real else np.zeros_like(weights)

        return self.dataset(make_part, self.batch_order.parts())

    def largest_batch(self) -> Batch:
        """Returns the training batch of the epoch with the most elements, padding included."""
        train, batches = self.stores["train"], self.batch_order.batches
        largest = 0  # windows are all of the same size
        if isinstance(self.batching, Batching):
            largest = largest_of(self.lengths(train), batches)
        return self.make_batch(train, batches[largest][:: self.batch_order.division.shards])

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns each record of a split once, as `(inputs, labels, weights)`."""
        store = self.stores[split]
        rows = self.batching.evaluation_batches(self.lengths(store), store.hashes)
        return self.dataset(lambda rows: self.make_batch(store, rows), rows)

    def dataset(
        self, make_batch: Callable[[PartT], Batch], batches: Sequence[PartT]
    ) -> tf.data.Dataset:
        """Returns batches made from their rows; each axis of an array may vary in size."""
        example = make_batch(batches[0])
        signature = tf.nest.map_structure(
            lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), example
        )
        return batch_dataset(make_batch, batches, signature)

    # The model.

    def check_model(self, model: ModelT) -> None:
        """Raises a `UserError` if the model cannot do what the task's settings require."""
        return

    def initialize(self, model: ModelT) -> None:
        """Sets weights of a new model that follow from the data, such as pretrained vectors."""
        return

    def calibrate(self, model: ModelT) -> None:
        """Fits the confidence of predictions on the validation split, after training."""
        return

    def label_names(self) -> list[str]:
        """Returns the labels that can be predicted; empty if the task predicts none."""
        return []

    def input_vocabulary(self) -> InputVocabulary | None:
        """Returns the tokens of the model's input embedding; None if it has no one vocabulary."""
        return None

    def vocabularies(self) -> Mapping[str, Vocabulary] | None:
        """Returns the fitted vocabularies by the names of `SequenceModel.vocabulary_weights`.

        None if a run of the task cannot start from one with others.
        """
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
