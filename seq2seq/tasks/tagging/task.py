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
from seq2seq.ops.crf import divergence, negative_log_likelihood
from seq2seq.tasks.consistency import check_drops
from seq2seq.tasks.exported import ExportedFunction
from seq2seq.tasks.prediction_options import PredictionOptions
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
        consistency: Weight of the divergence between two passes over each training row, with two
            dropout masks, see `TaggingLoss`; a step takes about twice as long.

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
        consistency: float = 0.0,
    ) -> None:
        super().__init__(batching)
        self.tokenizer = tokenizer
        self.labels = TokenLabels(scheme, train_scheme)
        self.consistency = consistency
        self.loss = TaggingLoss(consistency)

    def check_model(self, model: Tagger) -> None:
        """Refuses constraints without a scheme, and a consistency loss without dropout."""
        check_drops(self.consistency, model)
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

    Args:
        consistency: Weight of the divergence between the model's distributions under two dropout
            masks (R-Drop, Liang et al., 2021, https://arxiv.org/abs/2106.14448): those of each
            label; with a CRF, those of all label sequences of a sentence, see `ops.crf.divergence`,
            divided among its tokens.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, consistency: float = 0.0) -> None:
        self._softmax = TokenCrossEntropy(consistency=consistency)
        self.consistency = consistency

    def __call__(
        self,
        labels: tf.Tensor,
        outputs: Mapping[str, tf.Tensor],
        weights: tf.Tensor,
        doubled: bool = False,
    ) -> ElementLoss:
        """Returns the losses, float32 `(batch, steps)`.

        Args:
            labels: Integers `(batch, steps)`.
            outputs: `logits`, and with a CRF `transitions`.
            weights: `(batch, steps)`; all real tokens of a row have weight 1, or none has.
            doubled: Whether the second half of the batch repeats the first, under another dropout
                mask.
        """
        lengths = tf.cast(tf.reduce_sum(weights, axis=1), tf.int32)
        if "transitions" not in outputs:
            losses, _ = self._softmax(tf.maximum(labels, 0), outputs["logits"], weights)
        else:
            losses = negative_log_likelihood(**outputs, labels=labels, lengths=lengths)
            losses = _divided(losses, lengths, weights)
        if not doubled:
            return ElementLoss(losses, losses)
        apart = self._divergence(outputs, lengths, weights)
        # Half of the mean of both divergences, for each of the two.
        added = self.consistency / 4 * tf.concat([apart, apart], axis=0)
        return ElementLoss(losses + added, losses)

    @staticmethod
    def _divergence(
        outputs: Mapping[str, tf.Tensor], lengths: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the divergences of both directions together, `(batch / 2, steps)`."""
        one, other = tf.split(tf.cast(outputs["logits"], tf.float32), 2)
        if "transitions" not in outputs:
            difference = tf.nn.softmax(one) - tf.nn.softmax(other)
            return tf.reduce_sum(difference * (one - other), axis=-1)
        lengths, weights = tf.split(lengths, 2)[0], tf.split(weights, 2)[0]
        apart = divergence(one, other, outputs["transitions"], lengths)
        return _divided(apart, lengths, weights)


def _divided(values: tf.Tensor, lengths: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Divides the value of each sentence, `(batch,)`, among its tokens, `(batch, steps)`."""
    shares = values / tf.cast(tf.maximum(lengths, 1), tf.float32)
    return shares[:, tf.newaxis] * weights
