"""The best labels of a linear chain and their probabilities, in one operation."""

import tensorflow as tf

from seq2seq.kernels.library import library


def best_labels(
    logits: tf.Tensor, transitions: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Searches and sums over all label sequences; only where kernels are `usable`.

    Args:
        logits: float32 `(batch, steps, labels)`.
        transitions: float32 `(labels + 1, labels + 1)`, see `seq2seq.layers.crf.CRF`.
        lengths: int32 `(batch,)`.

    Returns:
        The best labels, int32 `(batch, steps)`, 0 at padding, and their score `(batch,)`; the
        probability of each of them by itself, `(batch, steps)`, 0 at padding; and what scores are
        normalised by, `(batch,)`. All floats are float32; there is no gradient.
    """
    labels, scores, probabilities, normalizers = library().seq2seq_best_labels(
        logits=logits, transitions=transitions, lengths=lengths
    )
    for result in (labels, probabilities):
        result.set_shape(logits.shape[:2])
    for result in (scores, normalizers):
        result.set_shape(logits.shape[:1])
    return labels, scores, probabilities, normalizers
