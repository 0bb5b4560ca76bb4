"""Tasks whose records are tokenised once, kept in stores, and batched by length."""

import json
import logging
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from seq2seq.data.batching import Batching, batch_dataset, padding_share
from seq2seq.data.dataset import Dataset
from seq2seq.data.token_store import ColumnSpec, TokenStore, build, report_shared_inputs
from seq2seq.tasks.base import Task
from seq2seq.training.feed import EpochFeed

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


class StoredTask(Task):
    """A task that says what the columns of its stores are, and how rows become a batch.

    Args:
        batching: How rows become batches.

    Attributes:
        signature: The `tf.TensorSpec` of each part of a batch `(inputs, labels, weights)`.
        sorted_by: The columns whose lengths decide on the batches; the last is sorted by first.
    """

    signature: ClassVar[Any]
    sorted_by: ClassVar[tuple[str, ...]]

    def __init__(self, batching: Batching) -> None:
        self.batching = batching
        self.stores: dict[str, TokenStore] = {}
        self._encoded_epoch: int | None = None

    @abstractmethod
    def fit_encoders(self, data: Dataset) -> None:
        """Fits whatever turns records into numbers, on the training split alone."""

    @abstractmethod
    def columns(self, split: str) -> Mapping[str, ColumnSpec]:
        """Returns how the columns of a split's store are made from its records."""

    def epoch_columns(self, seed: int, epoch: int) -> Mapping[str, ColumnSpec] | None:
        """Returns the columns of `train` in an epoch, where they differ from epoch to epoch."""
        return None

    @abstractmethod
    def make_batch(self, store: TokenStore, rows: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
        """Returns `(inputs, labels, weights)` for some rows of a store, as `signature` says."""

    @abstractmethod
    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns how many labels of weight 1 the batch of some rows has."""

    def prepare(self, data: Dataset, seed: int) -> None:
        """Fits the encoders on `train`, tokenises all splits and plans the batches."""
        content = {split: data.fingerprint(split) for split in SPLITS}  # all must be there
        self.fit_encoders(data)
        for split in SPLITS:
            self.stores[split] = self._stored(data, split)
        report_shared_inputs(self.stores)
        encoders = [spec.encoder.fingerprint for spec in self.columns("train").values()]
        self.identity = json.dumps([content["train"], *encoders, seed, vars(self.batching)])

        def plan(epoch: int) -> list[np.ndarray]:
            self._begin_epoch(data, seed, epoch)
            train = self.stores["train"]
            return self.batching.training_batches(self._lengths(train), train.hashes, seed, epoch)

        self.feed = EpochFeed(plan, lambda rows: self.count_targets(self.stores["train"], rows))
        self.feed.begin(epoch=0, first_step=0)
        padding = 100 * padding_share(self._lengths(self.stores["train"]), self.feed)
        log.info("%d batches an epoch, %.1f %% padding", len(self.feed), padding)

    def _begin_epoch(self, data: Dataset, seed: int, epoch: int) -> None:
        """Encodes the training split anew where each epoch sees it otherwise."""
        columns = self.epoch_columns(seed, epoch)
        if columns is None or epoch == self._encoded_epoch:
            return
        with TemporaryDirectory(prefix="seq2seq-epoch-") as folder:
            build(data.records("train"), columns, Path(folder))
            self.stores["train"] = TokenStore(Path(folder))  # its files stay open
        self._encoded_epoch = epoch

    def _stored(self, data: Dataset, split: str) -> TokenStore:
        columns = self.columns(split)
        store = TokenStore.cached(data.fingerprint(split), lambda: data.records(split), columns)
        log.info("%s: %s%s", split, store.report, self.describe_store(store))
        return store

    def describe_store(self, store: TokenStore) -> str:
        """Returns what else is worth knowing of a split, to follow the count of its records."""
        return ""

    def _lengths(self, store: TokenStore) -> np.ndarray:
        names = list(store.columns)
        return store.lengths[:, [names.index(column) for column in self.sorted_by]]

    def training_data(self) -> tf.data.Dataset:
        """Returns the rest of the feed's epoch."""
        return self._dataset("train", list(self.feed))

    def batches(self, split: str) -> tf.data.Dataset:
        """Returns each record of a split once, sorted by length."""
        store = self.stores[split]
        return self._dataset(
            split, self.batching.evaluation_batches(self._lengths(store), store.hashes)
        )

    def _dataset(self, split: str, batches: list[np.ndarray]) -> tf.data.Dataset:
        store = self.stores[split]
        return batch_dataset(lambda rows: self.make_batch(store, rows), batches, self.signature)
