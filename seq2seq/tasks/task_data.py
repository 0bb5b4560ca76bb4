"""The data of a task: records, encoded as tokens or numbers, and the batches made from them."""

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, TypeVar

import numpy as np
import tensorflow as tf

from seq2seq.data.batching import Batching, batch_dataset, largest_of, padding_share
from seq2seq.data.dataset import SPLITS, Dataset
from seq2seq.data.series_windows import SeriesWindows
from seq2seq.data.token_store import ColumnSpec, TokenStore, build, report_shared_inputs
from seq2seq.data.tokenizers.tokenizer import UNKNOWN
from seq2seq.data.windows import Windows
from seq2seq.errors import UserError
from seq2seq.progress import step
from seq2seq.tasks.vocabularies import Vocabulary
from seq2seq.training.batch_order import BatchOrder, Part

log = logging.getLogger(__name__)

PartT = TypeVar("PartT")

Batch = tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]
"""Inputs by name, labels and weights."""


class TaskData(ABC):
    """The data part of a `Task`: fits encoders, encodes records, and makes batches.

    Attributes:
        sorted_by: The columns of tokens whose lengths decide on the batches; the last is sorted by
            first.
        target_unit: What `count_targets` counts, for the speed of a training.
        encoders_name: What `fit_encoders` fits, for the progress.
        stores: The tokenised records of each split, once prepared.
        batch_order: The order of the training batches, once prepared.
        identity: A hash of all that the order depends on, once prepared.
    """

    sorted_by: tuple[str, ...] = ("source",)
    target_unit: ClassVar[str] = "tokens"
    encoders_name: ClassVar[str] = "tokenizers"
    batch_order: BatchOrder
    identity: str

    def __init__(self, batching: Batching | SeriesWindows | Windows) -> None:
        self.batching = batching
        self.stores: dict[str, TokenStore] = {}
        self._encoded_epoch: int | None = None

    @abstractmethod
    def fit_encoders(self, data: Dataset) -> None:
        """Fits tokenizers, labels, ... on the training split alone."""

    @abstractmethod
    def columns(self, split: str) -> Mapping[str, ColumnSpec]:
        """Returns how the columns of a split's store are made from its records."""

    @abstractmethod
    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns inputs by name, labels, and weights (1, or 0 for padding) of rows of a store."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what prediction needs besides model and config."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Reads what `save` wrote; raises a `UserError` if a file is missing or damaged."""

    def label_names(self) -> list[str]:
        """Returns the labels that can be predicted; empty if the task predicts none."""
        return []

    def vocabularies(self) -> Mapping[str, Vocabulary] | None:
        """Returns the fitted vocabularies by the names of `SequenceModel.vocabulary_weights`.

        None if a run of the task cannot start from one with others.
        """
        return None

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
        self.identity = json.dumps([content["train"], *encoders, seed, vars(self.batching)])

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
