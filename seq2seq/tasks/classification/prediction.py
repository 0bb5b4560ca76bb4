"""Prediction of classes: calibrated probabilities, attention weights, features, states."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from seq2seq.data.formats.text_files import is_blank
from seq2seq.data.number_columns import standardised_numbers
from seq2seq.data.records import Record, place_of
from seq2seq.errors import UserError
from seq2seq.evaluation.classification import class_probabilities, fit_temperature
from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.models.classifier import Classifier
from seq2seq.prediction_rows import ClassRow
from seq2seq.tasks.classification.data import ClassificationData
from seq2seq.tasks.inputs import check_observable, has_blank, record_of, source_tokens
from seq2seq.tasks.observation import Observation
from seq2seq.tasks.padding import Batches, text_batches
from seq2seq.tasks.prediction_graphs import prediction_graph
from seq2seq.tasks.prediction_options import PredictionOptions

log = logging.getLogger(__name__)


class ClassificationPrediction(ClassificationData):
    """The prediction part of `Classification`."""

    prediction_options = frozenset({"attention"})
    threshold: float
    _compiled: tuple[Classifier, Callable[..., dict[str, tf.Tensor]]] | None = None

    def calibrate(self, model: Classifier) -> None:
        """Fits the temperature of the probabilities on the validation split."""
        logits, labels = [], []
        for inputs, expected, _ in self.batches("validation"):
            logits.append(self._forward(model)(inputs)["logits"].numpy())
            labels.append(expected.numpy())
        self.temperature = fit_temperature(np.concatenate(logits), np.concatenate(labels))
        log.info("probabilities: temperature %.3f, fitted on validation", self.temperature)

    def predict_rows(
        self, model: Classifier, inputs: Sequence[str | Record], options: PredictionOptions
    ) -> list[ClassRow]:
        """Classifies texts, or records with the fields of `input_fields`.

        A text without a visible character gets an empty prediction; its probabilities are those of
        a text without tokens.

        Returns:
            Rows with `source` (and `source2`), `prediction`, `score` (the logarithm of its
            probability) and `probabilities` by label; if requested also `attention`: the tokens of
            each text with their weights.

        Raises:
            UserError: If a record lacks a field, or there is no attention pooling.
        """
        if options.attention and "text_weights" not in model.prediction_model.output:
            raise UserError("attention: this model pools without attention (model.pooling).")
        records, ids = self._ids(inputs)
        numbers = standardised_numbers(self.numbers, records)
        rows: dict[int, ClassRow] = {}
        for batch_numbers, batch in text_batches(ids, options.batch_size):
            if self.numbers:
                batch["numbers"] = numbers[batch_numbers]
            outputs = {k: v.numpy() for k, v in self._forward(model)(batch).items()}
            logits = outputs["logits"].astype(np.float32)
            probabilities = class_probabilities(logits, self.temperature, self.labels.several)
            for place, i in enumerate(batch_numbers):
                rows[i] = self._row(records[i], probabilities[place])
                if options.attention:
                    rows[i]["attention"] = {
                        text: self._weighted(ids[text][i], outputs[f"{text}_weights"][place])
                        for text in self.texts
                    }
        return [rows[i] for i in range(len(inputs))]

    def _weighted(self, ids: np.ndarray, weights: np.ndarray) -> list[tuple[str, float]]:
        """Returns the tokens of a text with their attention weights."""
        return list(zip(self.tokenizer.pieces(ids), weights[: len(ids)].tolist(), strict=True))

    def _row(self, record: Record, probabilities: np.ndarray) -> ClassRow:
        names = self.labels.names
        if self.labels.several:
            predicted = np.flatnonzero(probabilities >= self.threshold)
            decisions = np.where(probabilities >= self.threshold, probabilities, 1 - probabilities)
        else:
            predicted = np.array([probabilities.argmax()])
            decisions = probabilities[predicted]
        if has_blank(record, self.texts):
            predicted = predicted[:0]
        labels = [names[number] for number in predicted]
        by_name = zip(names, probabilities.tolist(), strict=True)
        row = {f"source{text.removeprefix('text')}": record[text] for text in self.texts} | {
            "prediction": self.labels.delimiter.join(labels),
            "score": float(np.log(np.maximum(decisions, 1e-30)).sum()),
            "probabilities": {name: round(p, 6) for name, p in by_name},
        }
        return cast(ClassRow, row | ({"labels": labels} if self.labels.several else {}))

    def feature_batches(
        self, model: Classifier, inputs: Sequence[str | Record], batch_size: int
    ) -> Batches:
        """Yields texts."""
        return text_batches(self._ids(inputs)[1], batch_size)

    def observe(self, model: Classifier, example: Any, target: str | None = None) -> Observation:
        """Observes the encoder of each text."""
        row = self.predict(model, [example])[0]
        texts = [row[field] for field in ("source", "source2") if field in row]
        tokens = []
        with recorded_calls() as calls:
            for text, ids, encoder in zip(
                texts, self.tokenizer.encode(texts), model.encoders, strict=True
            ):
                tokens.append(source_tokens(text, ids, self.tokenizer))
                check_observable(text, tokens[-1])
                encoder(model.embedding(ids[np.newaxis]), np.array([len(ids)]))
        parts = dict(zip(("encoder", "encoder2"), tokens, strict=False))
        return Observation(row["source"], row["prediction"], parts, calls)

    def _ids(
        self, inputs: Sequence[str | Record]
    ) -> tuple[list[Record], dict[str, Sequence[np.ndarray]]]:
        """Returns the inputs as records, and their token ids by text."""
        records = [self._record(example, number) for number, example in enumerate(inputs, start=1)]
        for number, record in enumerate(records, start=1):
            self.texts_of(record, place_of(record, number))
        ids = {
            text: self.encoder().encode(
                ["" if is_blank(record[text]) else record[text] for record in records]
            )
            for text in self.texts
        }
        return records, ids

    def _record(self, example: str | Record, number: int) -> Record:
        if isinstance(example, str) and len(self.input_fields) > 1:
            raise UserError(
                f"record {number}: a text alone is not enough; the model reads "
                f"{', '.join(self.input_fields)}."
            )
        return record_of(example, number, "text")

    def _forward(self, model: Classifier) -> Callable[..., dict[str, tf.Tensor]]:
        """Returns the model as one graph, traced once for each model."""
        if self._compiled is None or self._compiled[0] is not model:
            self._compiled = (model, prediction_graph(model.prediction_model))
        return self._compiled[1]
