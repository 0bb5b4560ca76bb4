"""What is made of a tagger's outputs: a loss in training, the best labels in prediction."""

from collections.abc import Mapping

import tensorflow as tf

from seq2seq.kernels.library import graphs_stay_here
from seq2seq.layers.crf import marginals, negative_log_likelihood
from seq2seq.layers.crf_search import n_best, viterbi
from seq2seq.models.tagger import Tagger
from seq2seq.training.losses import ElementLoss, TokenCrossEntropy


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


def best_labels(model: Tagger, inputs: Mapping[str, tf.Tensor], count: int) -> dict[str, tf.Tensor]:
    """Finds the best labels of some sentences.

    Args:
        model: The tagger.
        inputs: What its models read.
        count: How many label sequences of each.

    Returns:
        `labels`, int32 `(batch, count, steps)`; `scores`, their log-probabilities `(batch, count)`,
        minus infinity where there are fewer; and `probabilities` `(batch, steps)`, of each label of
        the best sequence.
    """
    with graphs_stay_here():
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
        best, score = viterbi(logits, transitions, lengths)
        labels, scores = best[:, tf.newaxis], score[:, tf.newaxis]
    else:
        labels, scores = n_best(logits, transitions, lengths, count)
    each, normalizer = marginals(logits, transitions, lengths)
    probabilities = tf.gather(each, labels[:, 0], batch_dims=2)
    return {
        "labels": labels,
        "scores": scores - normalizer[:, tf.newaxis],
        "probabilities": probabilities,
    }
