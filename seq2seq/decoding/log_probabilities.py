"""Log-probabilities of target tokens."""

import tensorflow as tf


def token_log_probabilities(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Returns the log-probability of each target token, float32 `(batch, length)`.

    Args:
        logits: `(batch, length, vocabulary_size)`, any float dtype.
        targets: int32 `(batch, length)`, the end tokens included.
    """
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=targets, logits=tf.cast(logits, tf.float32)
    )
