"""What is made of a tagger's outputs: a loss in training, the best labels in prediction."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from seq2seq.models.tagger import Tagger
from seq2seq.ops.crf import marginals, most_probable, n_best, negative_log_likelihood
from seq2seq.ops.dispatch import single_threaded_executor
from seq2seq.tasks.graphs import prediction_graph
from seq2seq.tasks.padding import by_length, padded
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy

_SPELLED_TOGETHER = 1024


class TaggingLoss:
    """Cross-entropy of each label; of a CRF's labels, the sentence's divided among its tokens.

    So both are means over tokens, and comparable.
    """

    def __init__(self) -> None:
        self._softmax = TokenCrossEntropy()

    def __call__(
        self, labels: tf.Tensor, outputs: Mapping[str, tf.Tensor], weights: tf.Tensor
    ) -> ElementLoss:
        """Compares labels with what a tagger's `loss_model` returns.

        Args:
            labels: Integers `(batch, steps)`.
            outputs: `logits`, and with a CRF `transitions`.
            weights: `(batch, steps)`; of a row, all real tokens have weight 1, or none has.

        Returns:
            The losses, float32 `(batch, steps)`.
        """
        if "transitions" not in outputs:
            return self._softmax(tf.maximum(labels, 0), outputs["logits"], weights)
        lengths = tf.cast(tf.reduce_sum(weights, axis=1), tf.int32)
        losses = negative_log_likelihood(**outputs, labels=labels, lengths=lengths)
        shares = losses / tf.cast(tf.maximum(lengths, 1), tf.float32)
        divided = shares[:, tf.newaxis] * weights
        return ElementLoss(divided, divided)


class TaggerSearch:
    """Finds the best labels with a model: its graphs, each traced once.

    Args:
        model: The tagger.
        count: How many label sequences of each sentence.
    """

    def __init__(self, model: Tagger, count: int) -> None:
        self.model, self.count = model, count
        self._search = prediction_graph(
            model.prediction_model, lambda inputs: best_labels(model, inputs, count)
        )
        spelling = model.spelling_model
        self._spell = None if spelling is None else prediction_graph(spelling)

    def __call__(self, batch: Mapping[str, tf.Tensor | np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what `best_labels` does for what the tagger's `prediction_model` reads."""
        tensors = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
        with single_threaded_executor():
            return {name: value.numpy() for name, value in self._search(tensors).items()}

    def spell(self, words: Sequence[np.ndarray]) -> tf.Tensor:
        """Returns the vectors of words, `(words, features)`, from the numbers of their characters.

        Raises:
            ValueError: If the tagger does not read characters.
        """
        if self.model.spelling_model is None or self._spell is None:
            raise ValueError("words: this tagger does not read characters")
        output = self.model.spelling_model.output
        order, parts = [], [tf.zeros((0, output.shape[-1]), output.dtype)]
        for chosen in by_length(range(len(words)), words, _SPELLED_TOGETHER):
            characters, lengths = padded([words[i] for i in chosen])
            parts.append(self._spell({"characters": characters, "character_length": lengths}))
            order += chosen
        return tf.gather(tf.concat(parts, axis=0), np.argsort(order))


def best_labels(model: Tagger, inputs: Mapping[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
    """Finds the best labels of some sentences.

    Args:
        model: The tagger.
        inputs: What its `prediction_model` reads.
        count: How many label sequences of each.

    Returns:
        `labels`, int32 `(batch, count, steps)`; `scores`, their log-probabilities `(batch, count)`,
        minus infinity where there are fewer; and `probabilities` `(batch, steps)`, of each label of
        the best sequence.
    """
    found = model.prediction_model(inputs, training=False)
    logits, lengths = tf.cast(found["logits"], tf.float32), inputs["length"]
    size = logits.shape[-1]
    if "transitions" not in found and count == 1:
        labels = tf.argmax(logits, axis=-1, output_type=tf.int32)[:, tf.newaxis]
        logs = tf.reduce_max(tf.nn.log_softmax(logits), axis=-1)
        real = tf.sequence_mask(lengths, tf.shape(logits)[1], tf.float32)
        scores = tf.reduce_sum(logs * real, axis=1, keepdims=True)
        return {"labels": labels, "scores": scores, "probabilities": tf.exp(logs)}
    transitions = found.get("transitions", tf.zeros((size + 1, size + 1)))
    if count == 1:
        best, scores, probabilities = most_probable(logits, transitions, lengths)
        return {
            "labels": best[:, tf.newaxis],
            "scores": scores[:, tf.newaxis],
            "probabilities": probabilities,
        }
    labels, scores = n_best(logits, transitions, lengths, count)
    each, normalizer = marginals(logits, transitions, lengths)
    return {
        "labels": labels,
        "scores": scores - normalizer[:, tf.newaxis],
        "probabilities": tf.gather(each, labels[:, 0], batch_dims=2),
    }
