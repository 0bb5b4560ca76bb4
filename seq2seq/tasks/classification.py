"""Classification: a text, or two, with numbers beside them -> one label, or any number of them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from seq2seq.data.batching import Batching
from seq2seq.data.dataset import Dataset
from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.labels.class_labels import ClassLabels
from seq2seq.data.number_columns import (
    NumberColumn,
    load_columns,
    number_in,
    numbers_of,
    save_columns,
)
from seq2seq.data.records import Record, place_of
from seq2seq.data.token_store import ColumnSpec, Encoder, TokenStore, Truncated
from seq2seq.data.tokenizers.tokenizer import UNKNOWN, Tokenizer
from seq2seq.errors import UserError
from seq2seq.evaluation.classification import (
    CLASS_SCORES,
    LABEL_SET_SCORES,
    class_probabilities,
    fit_temperature,
)
from seq2seq.models.classifier import Classifier
from seq2seq.tasks.answers import attended
from seq2seq.tasks.base import Evaluation, Row
from seq2seq.tasks.calibration import load_temperature, save_temperature
from seq2seq.tasks.class_evaluation import evaluate_rows, figures_of
from seq2seq.tasks.features import collected_features, text_batches
from seq2seq.tasks.graphs import prediction_graph
from seq2seq.tasks.inputs import checked_text, has_blank, record_of
from seq2seq.tasks.stored import StoredTask
from seq2seq.training.classification_losses import (
    ClassCrossEntropy,
    MultiLabelCrossEntropy,
    weights_by_class,
)

log = logging.getLogger(__name__)

TEXTS = ("text", "text2")


class Classification(StoredTask):
    """Learns from records with a `text` and a `label`, and predicts labels with probabilities.

    Records that cannot be learned from (empty texts, no number where one is expected, in validation
    and test a label that training does not have) are left out, counted and reported.

    Args:
        tokenizer: Of all texts.
        batching: How rows become batches.
        pairs: Whether a record has two texts, `text` and `text2`.
        numbers: Fields that hold a number each, read beside the text; standardised by the mean and
            the deviation of the training records.
        multi_label: Whether a record may have any number of labels.
        label_delimiter: What stands between several labels in one text.
        label_names: Other names for labels, such as `{0: negative}`.
        maximum_length: How many tokens of a text are read; null for all.
        label_smoothing: Share of probability given to the uniform distribution in training.
        class_weights: `balanced`, weights by label, or null.
        focal_gamma: How much less what is classified well counts in training, see
            `ClassCrossEntropy`.
        threshold: How probable a label is at least that is predicted, with `multi_label`.

    Raises:
        UserError: If the batching leaves out long texts, which are cut instead.
        ValueError: If an argument is impossible.
    """

    example_arguments: ClassVar[dict[str, Any]] = {"vocabulary_size": 5, "classes": 2}

    def __init__(
        self,
        tokenizer: Tokenizer,
        batching: Batching,
        pairs: bool = False,
        numbers: Sequence[str] = (),
        multi_label: bool = False,
        label_delimiter: str = ",",
        label_names: Mapping[Any, str] | None = None,
        maximum_length: int | None = None,
        label_smoothing: float = 0.0,
        class_weights: str | Mapping[str, float] | None = None,
        focal_gamma: float = 0.0,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(batching)
        if any(limit is not None for limit in batching.maximum_length.values()):
            raise UserError(
                "batching.maximum_length: classification cuts long texts instead of leaving them "
                "out; set task.maximum_length."
            )
        if not 0 < threshold < 1:
            raise ValueError(f"threshold: must be between 0 and 1, got {threshold!r}")
        if maximum_length is not None and maximum_length < 1:
            raise ValueError(f"maximum_length: must be at least 1 or null, got {maximum_length!r}")
        self.tokenizer = tokenizer
        self.texts = TEXTS if pairs else TEXTS[:1]
        self.numbers = [NumberColumn(field) for field in numbers]
        self.labels = ClassLabels(label_names, multi_label, label_delimiter)
        self.maximum_length = maximum_length
        self.class_weights = class_weights
        self._loss_settings = {"label_smoothing": label_smoothing, "focal_gamma": focal_gamma}
        self.loss = self._loss(None)
        self.threshold = threshold
        self.temperature = 1.0
        self._compiled: tuple[Classifier, Callable[..., dict[str, tf.Tensor]]] | None = None

    def _loss(self, weights: Sequence[float] | None) -> Any:
        kind = MultiLabelCrossEntropy if self.labels.several else ClassCrossEntropy
        return kind(class_weights=weights, **self._loss_settings)

    @property
    def sorted_by(self) -> tuple[str, ...]:  # type: ignore[override]
        """The columns whose lengths decide on the batches."""
        return self.texts

    @property
    def signature(self) -> Any:  # type: ignore[override]
        """The `tf.TensorSpec` of each part of a batch `(inputs, labels, weights)`."""
        inputs = {}
        for text in self.texts:
            inputs[text] = tf.TensorSpec((None, None), tf.int32)
            inputs[f"{text}_length"] = tf.TensorSpec((None,), tf.int32)
        if self.numbers:
            inputs["numbers"] = tf.TensorSpec((None, len(self.numbers)), tf.float32)
        classes = (len(self.labels.names),) if self.labels.several else ()
        labels = tf.TensorSpec((None, *classes), tf.int32)
        return inputs, labels, tf.TensorSpec((None,), tf.float32)

    @property
    def input_fields(self) -> tuple[str, ...]:
        """The fields of a record that predictions are made from."""
        return *self.texts, *(column.field for column in self.numbers)

    def fit_encoders(self, data: Dataset) -> None:
        """Fits the tokenizer, the labels and the columns of numbers."""
        counts = self.labels.fit(data.records("train"), "label").counts
        for split in ("validation", "test"):
            self.labels.check(data.records(split), "label")
        log.info("%d classes of %d to %d examples", len(counts), min(counts), max(counts))
        self.tokenizer.fit(
            text
            for number, record in enumerate(data.records("train"), start=1)
            for text in self._texts_of(record, place_of(record, number))
        )
        log.info("vocabulary: %s tokens", f"{self.tokenizer.size:,}")
        for column in self.numbers:
            column.fit(data.records("train"))
        try:
            weights = weights_by_class(self.class_weights, self.labels.names, counts)
            self.loss = self._loss(weights)
        except ValueError as error:
            raise UserError(f"task.{error}") from error

    def _texts_of(self, record: Record, place: str) -> list[str]:
        return [checked_text(record, text, place) for text in self.texts]

    def columns(self, split: str) -> dict[str, ColumnSpec]:
        """Returns the token ids of each text, the numbers, and the labels."""
        return self._columns(self.tokenizer)

    def epoch_columns(self, seed: int, epoch: int) -> dict[str, ColumnSpec] | None:
        """Returns the columns with merges left out at random, if the tokenizer is to do so."""
        sampled = self.tokenizer.for_training(seed, epoch)
        return None if sampled is self.tokenizer else self._columns(sampled)

    def _columns(self, tokenizer: Encoder) -> dict[str, ColumnSpec]:
        cut = Truncated(tokenizer, self.maximum_length) if self.maximum_length else tokenizer
        columns = {text: ColumnSpec(text, cut) for text in self.texts}
        for column in self.numbers:
            columns[f"number_{column.field}"] = ColumnSpec(
                column.field, column, dtype=np.float32, empty=f"without a number in {column.field}"
            )
        unknown = "without a label that training has"
        columns["label"] = ColumnSpec("label", self.labels, empty=unknown, is_target=True)
        return columns

    def describe_store(self, store: TokenStore) -> str:
        """Returns the share of unknown tokens."""
        unknown = [np.asarray(store.columns[text].tokens) == UNKNOWN for text in self.texts]
        return f"; {100 * np.mean(np.concatenate(unknown)):.2f} % unknown tokens"

    def count_targets(self, store: TokenStore, rows: np.ndarray) -> int:
        """Returns the number of rows: each is one decision."""
        return len(rows)

    def make_batch(
        self, store: TokenStore, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
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
        real = (np.arange(labels.shape[1]) < counts[:, None]) & (labels >= 0)
        sets = np.zeros((len(rows), len(self.labels.names)), np.int32)
        sets[np.nonzero(real)[0], labels[real]] = 1
        return inputs, sets, weights

    def model_arguments(self) -> dict[str, Any]:
        """Returns how much the model reads, and between how many classes it decides."""
        return {
            "vocabulary_size": self.tokenizer.size,
            "classes": len(self.labels.names),
            "texts": len(self.texts),
            "numbers": len(self.numbers),
        }

    def calibrate(self, model: Classifier) -> None:
        """Fits the temperature of the probabilities on the validation split."""
        logits, labels = [], []
        for inputs, expected, _ in self.batches("validation"):
            logits.append(self._forward(model)(inputs)["logits"].numpy())
            labels.append(expected.numpy())
        self.temperature = fit_temperature(np.concatenate(logits), np.concatenate(labels))
        log.info("probabilities: temperature %.3f, fitted on validation", self.temperature)

    def predict(
        self,
        model: Classifier,
        inputs: Sequence[str | Record],
        batch_size: int = 64,
        *,
        attention: bool = False,
    ) -> list[Row]:
        """Classifies texts, or records with the fields of `input_fields`.

        Where there is nothing to see in a text, the prediction is empty; the probabilities are
        those of a text without any token.

        Args:
            model: The model.
            inputs: The texts or records.
            batch_size: How many are classified at once; they are sorted by length before.
            attention: Whether to say which tokens attention pooling looked at.

        Returns:
            Rows with `source` (and `source2`), `prediction`, `score` (the logarithm of its
            probability) and `probabilities` by label; if asked for also `attention`: the tokens of
            each text with their weights.

        Raises:
            UserError: If a record lacks a field, or there is no attention pooling.
        """
        if attention and "text_weights" not in model.prediction_model.output:
            raise UserError("attention: this model pools without attention (model.pooling).")
        records, ids = self._ids(inputs)
        numbers = numbers_of(self.numbers, records)
        rows: list[Row] = [{} for _ in inputs]
        for chosen, batch in self._batches(ids, numbers, batch_size):
            outputs = {k: v.numpy() for k, v in self._forward(model)(batch).items()}
            logits = outputs["logits"].astype(np.float32)
            probabilities = class_probabilities(logits, self.temperature, self.labels.several)
            for place, i in enumerate(chosen):
                rows[i] = self._row(records[i], probabilities[place])
                if attention:
                    weights = {text: outputs[f"{text}_weights"][place] for text in self.texts}
                    tokens = {text: ids[text][i] for text in self.texts}
                    rows[i]["attention"] = attended(self.tokenizer, tokens, weights)
        return rows

    def features(
        self, model: Classifier, inputs: Sequence[str | Record], batch_size: int = 64
    ) -> dict[str, np.ndarray]:
        """Returns the vectors of texts by name, see `Classifier.feature_model`.

        Returns:
            Float32 `(inputs, width)` each.
        """
        batches = text_batches(self._ids(inputs)[1], batch_size)
        return collected_features(model.feature_model, batches, len(inputs))

    def _record(self, given: str | Record, number: int) -> Record:
        if isinstance(given, str) and len(self.input_fields) > 1:
            raise UserError(
                f"record {number}: a text alone is not enough; the model reads "
                f"{', '.join(self.input_fields)}."
            )
        return record_of(given, number, "text")

    def _ids(
        self, inputs: Sequence[str | Record]
    ) -> tuple[list[Record], dict[str, Sequence[np.ndarray]]]:
        """Returns the inputs as records, and their token ids by text."""
        records = [self._record(given, i) for i, given in enumerate(inputs, start=1)]
        for i, record in enumerate(records, start=1):
            self._texts_of(record, place_of(record, i))
        columns = self._columns(self.tokenizer)
        ids = {
            text: columns[text].encoder.encode(
                ["" if is_blank(record[text]) else record[text] for record in records]
            )
            for text in self.texts
        }
        return records, ids

    def _batches(
        self, ids: Mapping[str, Sequence[np.ndarray]], numbers: np.ndarray, batch_size: int
    ) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
        """Yields which inputs are classified together, and what the model reads of them."""
        for chosen, batch in text_batches(ids, batch_size):
            yield chosen, batch | ({"numbers": numbers[chosen]} if self.numbers else {})

    def _forward(self, model: Classifier) -> Callable[..., dict[str, tf.Tensor]]:
        """Returns the model as one graph, traced once for each model."""
        if self._compiled is None or self._compiled[0] is not model:
            self._compiled = (model, prediction_graph(model.prediction_model))
        return self._compiled[1]

    def _row(self, record: Record, probabilities: np.ndarray) -> Row:
        names = self.labels.names
        if self.labels.several:
            chosen = np.flatnonzero(probabilities >= self.threshold)
            decided = np.where(probabilities >= self.threshold, probabilities, 1 - probabilities)
        else:
            chosen = np.array([probabilities.argmax()])
            decided = probabilities[chosen]
        by_name = zip(names, probabilities.tolist(), strict=True)
        chosen = chosen[:0] if has_blank(record, self.texts) else chosen
        sources = {f"source{text.removeprefix('text')}": record[text] for text in self.texts}
        return {
            **sources,
            "prediction": self.labels.delimiter.join(names[number] for number in chosen),
            "score": float(np.log(np.maximum(decided, 1e-30)).sum()),
            "probabilities": {name: round(p, 6) for name, p in by_name},
        }

    @property
    def score_names(self) -> Sequence[str]:
        """The scores of classes, or of sets of labels."""
        return LABEL_SET_SCORES if self.labels.several else CLASS_SCORES

    def evaluate(self, model: Classifier, records: Iterable[Record]) -> Evaluation:
        """Classifies records and scores them, without those that cannot be."""
        kept, skipped = [], []
        for number, record in enumerate(records, start=1):
            if reason := self._unusable(record):
                skipped.append({"place": place_of(record, number), "reason": reason})
            else:
                kept.append(record)
        first = ": ".join(skipped[0].values()) if skipped else "there is none"
        if skipped:
            log.warning("%d records left out of the scores, such as %s", len(skipped), first)
        if not kept:
            raise UserError(f"No record is left to score: {first}.")
        rows = self.predict(model, kept)
        references = [self.labels.read(record["label"]) for record in kept]
        return evaluate_rows(rows, references, self.labels, self.threshold, skipped)

    def _unusable(self, record: Record) -> str:
        """Returns why a record cannot be scored; nothing if it can."""
        if "label" not in record:
            return "no field 'label'"
        if has_blank(record, self.texts):
            return "empty text"
        labels = self.labels.read(record["label"])
        if unseen := self.labels.unseen(labels):
            return f"label {unseen[0]!r} was never seen in training"
        if not self.labels.several and len(labels) != 1:
            return f"{len(labels)} labels"
        for column in self.numbers:
            if number_in(record.get(column.field)) is None:
                return f"no number in {column.field}, but {record.get(column.field)!r}"
        return ""

    def figures(self, model: Classifier, evaluation: Evaluation) -> dict[str, Figure]:
        """Draws what is confused, how far probabilities can be trusted, and precision by recall."""
        return figures_of(evaluation.rows, self.labels)

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
