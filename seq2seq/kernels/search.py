"""What a search asks of logits, each in one operation that reads them once."""

import tensorflow as tf

from seq2seq.kernels.library import library


def log_sum_exp(values: tf.Tensor) -> tf.Tensor:
    """Returns what `tf.reduce_logsumexp` does over the last axis; only where kernels are `usable`.

    Args:
        values: float32 `(..., size)`; it has no gradient.
    """
    result = library().seq2seq_log_sum_exp(values=values)
    result.set_shape(tf.TensorShape(values.shape)[:-1])
    return result


def top_k(values: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `tf.math.top_k` does; only where kernels are `usable`.

    Args:
        values: float32 `(..., size)`.
        k: How many, at most `size`.

    Returns:
        Values and int32 indices, both `(..., k)`, largest first.
    """
    largest, indices = library().seq2seq_top_k(values=values, k=k)
    for result in (largest, indices):
        result.set_shape([*values.shape[:-1], k])
    return largest, indices
