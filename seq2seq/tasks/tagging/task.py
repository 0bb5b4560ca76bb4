"""The tagging task, joined from its data, prediction and evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from seq2seq.data.batching import Batching
from seq2seq.data.labels.token_labels import TokenLabels
from seq2seq.data.tokenizers.token_features import TokenFeatures
from seq2seq.errors import UserError
from seq2seq.files import write_text
from seq2seq.models.tagger import Tagger
from seq2seq.ops.crf import negative_log_likelihood
from seq2seq.tasks.base import PredictionOptions
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.tagging.evaluation import TaggingEvaluation
from seq2seq.tasks.tagging.export import exported_functions
from seq2seq.tasks.tagging.prediction import TaggingPrediction
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy

VOCABULARIES = "vocabularies.json"


class Tagging(TaggingPrediction, TaggingEvaluation):
    """Learns from records with `tokens` and a label for each of them, `labels`.

    Records without tokens are left out, counted and reported. A label of validation or test that
    training does not have counts as an error; its sentence does not count in the loss.

    Args:
        tokenizer: The features of a token.
        batching: How rows become batches.
        scheme: How the data write spans: `IOB1`, `IOB2`, `BIOES`; null where a label stands for its
            token alone.
        train_scheme: The scheme that the model learns, null for that of the data; predictions are
            written in that of the data.

    Attributes:
        format: The layout of the files of the training data, if they were in columns.

    Raises:
        ValueError: If an argument is impossible.
    """

    def __init__(
        self,
        tokenizer: TokenFeatures,
        batching: Batching,
        scheme: str | None = None,
        train_scheme: str | None = None,
    ) -> None:
        super().__init__(batching)
        self.tokenizer = tokenizer
        self.labels = TokenLabels(scheme, train_scheme)
        self.loss = TaggingLoss()

    def check_model(self, model: Tagger) -> None:
        """Refuses constraints without a scheme."""
        if model.output == "constrained_softmax" and self.labels.scheme is None:
            raise UserError(
                "model.output=constrained_softmax: without task.scheme there is no constraint. "
                "Give task.scheme, or model.output=softmax."
            )

    def exported_functions(
        self, model: Tagger, options: PredictionOptions
    ) -> list[ExportedFunction]:
        """Returns the search for labels, and the step of a stream if there is one."""
        self.check_options(options, ("n_best",))
        return exported_functions(model, options.n_best or 1)

    def export_vocabularies(self, folder: Path) -> dict[str, Any]:
        """Writes the vocabularies of words, characters and further columns."""
        write_text(folder / VOCABULARIES, self.tokenizer.standard_json())
        return {
            "vocabularies": VOCABULARIES,
            "labels": self.labels.names,
            "label_scheme": self.labels.train_scheme,
        }


class TaggingLoss:
    """Cross-entropy of each label; with a CRF, that of the sentence divided among its tokens.

    Both are means over tokens, and comparable.
    """

    def __init__(self) -> None:
        self._softmax = TokenCrossEntropy()

    def __call__(
        self, labels: tf.Tensor, outputs: Mapping[str, tf.Tensor], weights: tf.Tensor
    ) -> ElementLoss:
        """Returns the losses, float32 `(batch, steps)`.

        Args:
            labels: Integers `(batch, steps)`.
            outputs: `logits`, and with a CRF `transitions`.
            weights: `(batch, steps)`; all real tokens of a row have weight 1, or none has.
        """
        if "transitions" not in outputs:
            return self._softmax(tf.maximum(labels, 0), outputs["logits"], weights)
        lengths = tf.cast(tf.reduce_sum(weights, axis=1), tf.int32)
        losses = negative_log_likelihood(**outputs, labels=labels, lengths=lengths)
        shares = losses / tf.cast(tf.maximum(lengths, 1), tf.float32)
        divided = shares[:, tf.newaxis] * weights
        return ElementLoss(divided, divided)
