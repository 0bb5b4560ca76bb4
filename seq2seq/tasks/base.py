"""What every task offers to a run."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seq2seq.data.dataset import Dataset
from seq2seq.data.records import Record
from seq2seq.errors import UserError
from seq2seq.training.feed import EpochFeed
from seq2seq.training.weighted_model import Loss

Row = dict[str, Any]
"""One prediction as plain values: what `predictions/<split>.jsonl` holds, line by line."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions for records with references, and their scores.

    Attributes:
        rows: One row a record, in the records' order.
        scores: Metric name to value.
        signatures: Metric name to how it was computed, for metrics that have a signature.
        tables: Name to rows of plain values: what a score alone does not tell.
    """

    rows: list[Row]
    scores: dict[str, float]
    signatures: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)


class Task(ABC):
    """What differs between translation, tagging, classification, ...

    A task turns records into batches and a model's outputs into predictions and scores. It is
    either prepared from data, to train, or loaded from a model folder, to predict.

    Attributes:
        loss: The loss of each element.
        feed: The order of the training batches, once prepared.
        identity: A hash of all that the order depends on, once prepared.
        example_arguments: Some `model_arguments`, to try a model's config before the data are read.
    """

    loss: Loss
    feed: EpochFeed
    identity: str
    example_arguments: ClassVar[dict[str, Any]]

    @abstractmethod
    def prepare(self, data: Dataset, seed: int) -> None:
        """Fits tokenizers on the training split alone, tokenises all splits and plans batches.

        Raises:
            UserError: If the data cannot be used.
        """

    @abstractmethod
    def model_arguments(self) -> dict[str, Any]:
        """Returns the model's constructor arguments that follow from the data."""

    @abstractmethod
    def training_data(self) -> tf.data.Dataset:
        """Returns the training batches in the order of `feed`."""

    @abstractmethod
    def batches(self, split: str) -> tf.data.Dataset:
        """Returns each record of a split once, as `(inputs, labels, weights)`."""

    @abstractmethod
    def predict(self, model: Any, inputs: Sequence[Any], batch_size: int = 64) -> list[Row]:
        """Predicts for each input, in order.

        Args:
            model: The task's model.
            inputs: What the task reads: plain texts, or records without what is predicted.
            batch_size: How many are predicted at once.

        Returns:
            One row an input, with at least `prediction`.
        """

    @abstractmethod
    def evaluate(self, model: Any, records: Iterable[Record]) -> Evaluation:
        """Predicts and scores records."""

    @property
    @abstractmethod
    def score_names(self) -> Sequence[str]:
        """The names of the scores that `evaluate` returns, some of them not for all records."""

    def check_model(self, model: Any) -> None:
        """Refuses a model that cannot do what the task's settings ask for; none, by default.

        Raises:
            UserError: If it cannot.
        """
        return

    def initialize(self, model: Any) -> None:
        """Puts what the data bring into a new model, such as pretrained vectors."""
        return

    def check_ensemble(self, others: Sequence["Task"]) -> None:
        """Refuses runs that cannot predict together with this one; all, by default.

        Raises:
            UserError: If they cannot.
        """
        raise UserError(f"Ensembles: {type(self).__name__} predicts with one run only.")

    def calibrate(self, model: Any) -> None:
        """Fits what tells how sure predictions are, on the validation split of a trained model."""
        return

    @property
    def input_fields(self) -> tuple[str, ...]:
        """The fields of records that predictions are made from; none where it reads `source`."""
        return ()

    def features(
        self, model: Any, inputs: Sequence[Any], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the vectors that the model's encoder makes of inputs, by name.

        Args:
            model: The task's model.
            inputs: As `predict` takes them.
            batch_size: How many are encoded at once.

        Returns:
            Float32 `(inputs, width)` each.

        Raises:
            UserError: If the task has no encoder.
        """
        raise UserError(f"{type(self).__name__} runs have no encoder to take features from.")

    def figures(self, model: Any, evaluation: Evaluation) -> dict[str, Figure]:
        """Returns pictures of an evaluation, by file name: what a person would rather look at.

        Args:
            model: The model that was evaluated.
            evaluation: What `evaluate` returned for it.
        """
        return {}

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what prediction needs besides model and config."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Reads what `save` wrote.

        Raises:
            UserError: If a file is missing or damaged.
        """
