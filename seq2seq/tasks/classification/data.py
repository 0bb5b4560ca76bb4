"""The data of classification: token ids of texts, standardised numbers, and labels."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.json_lines import parsed_json
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.number_columns import NumberColumn, load_columns, save_columns
from seq2seq.data.records import Record, place_of
from seq2seq.data.token_store import ColumnSpec, Encoder, TokenStore, Truncated
from seq2seq.data.tokenizers.tokenizer import Tokenizer
from seq2seq.errors import UserError
from seq2seq.models.classifier import Classifier
from seq2seq.prediction_rows import ClassRow
from seq2seq.tasks.base import Task
from seq2seq.tasks.inputs import checked_text
from seq2seq.tasks.observation import InputVocabulary
from seq2seq.tasks.task_data import Batch
from seq2seq.tasks.vocabularies import NamedVocabulary, TokenizerVocabulary, Vocabulary
from seq2seq.training.losses import weights_by_class
from seq2seq.training.masked_loss_model import Loss

log = logging.getLogger(__name__)


class ClassificationData(Task[Classifier, ClassRow]):
    """The data part of `Classification`."""

    tokenizer: Tokenizer
    texts: tuple[str, ...]
    numbers: list[NumberColumn]
    labels: ClassLabels
    maximum_length: int | None
    class_weights: str | Mapping[str, float] | None
    temperature: float = 1.0
    make_loss: Callable[..., Loss]

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the tokenizer, the labels and the columns of numbers."""
        counts = self.labels.fit(data.records("train"), "label").counts
        for split in ("validation", "test"):
            self.labels.check(data.records(split), "label")
        log.info("%d classes of %d to %d examples", len(counts), min(counts), max(counts))
        self.tokenizer.fit_once(
            f"{data.fingerprint('train')} {self.texts}",
            lambda: (
                text
                for number, record in enumerate(data.records("train"), start=1)
                for text in self.texts_of(record, place_of(record, number))
            ),
        )
        log.info("vocabulary: %s tokens", f"{self.tokenizer.size:,}")
        for column in self.numbers:
            column.fit(data.records("train"))
        try:
            weights = weights_by_class(self.class_weights, self.labels.names, counts)
            self.loss = self.make_loss(class_weights=weights)
        except ValueError as error:
            raise UserError(f"task.{error}") from error

    def texts_of(self, record: Record, place: str) -> list[str]:
        """Returns the checked texts of a record."""
        return [checked_text(record, text, place) for text in self.texts]

    def encoder(self, tokenizer: Encoder | None = None) -> Encoder:
        """Returns the encoder of texts, which cuts long ones."""
        tokenizer = self.tokenizer if tokenizer is None else tokenizer
        return Truncated(tokenizer, self.maximum_length) if self.maximum_length else tokenizer

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns the token ids of each text, the numbers, and the labels."""
        columns = {text: ColumnSpec(text, self.encoder()) for text in self.texts}
        for column in self.numbers:
            columns[f"number_{column.field}"] = ColumnSpec(
                column.field, column, dtype=np.float32, empty=f"without a number in {column.field}"
            )
        unknown = "without a label that training has"
        columns["label"] = ColumnSpec("label", self.labels, empty=unknown, is_target=True)
        return columns

    def epoch_columns(self, seed: int, epoch: int) -> dict[str, ColumnSpec] | None:
        """Returns the columns with a sampled tokenization, if the tokenizer samples."""
        sampled = self.tokenizer.for_training(seed, epoch)
        if sampled is self.tokenizer:
            return None
        texts = {text: ColumnSpec(text, self.encoder(sampled)) for text in self.texts}
        return self.columns("train") | texts

    def make_batch(self, store: TokenStore, rows: np.ndarray) -> Batch:
        """Returns texts and numbers; the class of each row, or 0 and 1 by class; and ones."""
        inputs = {}
        for text in self.texts:
            inputs[text], inputs[f"{text}_length"] = store.padded(text, rows)
        if self.numbers:
            columns = [store.padded(f"number_{c.field}", rows)[0] for c in self.numbers]
            inputs["numbers"] = np.concatenate(columns, axis=1)
        labels, counts = store.padded("label", rows)
        weights = np.ones(len(rows), np.float32)
        if not self.labels.several:
            return inputs, labels[:, 0], weights
        is_real = (np.arange(labels.shape[1]) < counts[:, None]) & (labels >= 0)
        sets = np.zeros((len(rows), len(self.labels.names)), np.int32)
        sets[np.nonzero(is_real)[0], labels[is_real]] = 1
        return inputs, sets, weights

    def describe_batch(self, inputs: Mapping[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Returns texts, numbers and labels of each row, as decoded from their ids."""
        columns = [self.tokenizer.decode(inputs[text]) for text in self.texts]
        if self.numbers:
            columns.append(
                [", ".join(f"{number:g}" for number in row) for row in inputs["numbers"]]
            )
        classes = [np.flatnonzero(row) if self.labels.several else [row] for row in labels]
        names = [", ".join(self.labels.names[number] for number in row) for row in classes]
        return [
            f"{' | '.join(texts)} -> {name}" for *texts, name in zip(*columns, names, strict=True)
        ]

    @property
    def example_arguments(self) -> dict[str, Any]:
        """A small vocabulary and two classes."""
        return {"vocabulary_size": 5, "classes": 2}

    def model_arguments(self) -> dict[str, Any]:
        """Returns the size of the vocabulary, and the number of classes and inputs."""
        return {
            "vocabulary_size": self.tokenizer.size,
            "classes": len(self.labels.names),
            "texts": len(self.texts),
            "numbers": len(self.numbers),
        }

    def _load_encoders(self, saved: Path) -> None:
        fitted = list(self.labels.names)
        super()._load_encoders(saved)
        if self.class_weights is not None and fitted != self.labels.names:
            raise UserError(
                "task.class_weights: with init_from, the training data need all classes of the "
                f"run: {', '.join(self.labels.names[:20])}. Set task.class_weights=null"
            )

    def label_names(self) -> list[str]:
        """Returns the labels of the training data."""
        return list(self.labels.names)

    def vocabularies(self) -> dict[str, Vocabulary]:
        """Returns the vocabularies of texts and labels."""
        return {
            "text": TokenizerVocabulary(self.tokenizer),
            "labels": NamedVocabulary(self.labels.names),
        }

    def input_vocabulary(self) -> InputVocabulary:
        """Returns the vocabulary of all texts."""
        return InputVocabulary.of(self.tokenizer)

    def save(self, folder: Path) -> None:
        """Writes tokenizer, labels, columns of numbers and temperature."""
        self.tokenizer.save(folder / "tokenizer.json")
        self.labels.save(folder / "labels.json")
        save_columns(self.numbers, folder / "numbers.json")
        save_temperature(self.temperature, folder / "calibration.json")

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        self.tokenizer = Tokenizer.load(folder / "tokenizer.json")
        self.labels = ClassLabels.load(folder / "labels.json")
        self.numbers = load_columns(folder / "numbers.json")
        self.temperature = load_temperature(folder / "calibration.json")


def save_temperature(temperature: float, path: Path) -> None:
    """Writes the temperature of the probabilities as JSON."""
    path.write_text(json.dumps({"temperature": temperature}), encoding="utf-8")


def load_temperature(path: Path) -> float:
    """Reads what `save_temperature` wrote.

    Raises:
        UserError: If the file is missing or damaged, or the temperature not positive and finite.
    """
    try:
        temperature = float(parsed_json(path.read_text(encoding="utf-8"))["temperature"])
        if not 0 < temperature < math.inf:
            raise ValueError(f"a temperature of {temperature}")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    return temperature
