"""What a search asks of logits, each in one operation that reads them once."""

import tensorflow as tf

from seq2seq.kernels.library import library


def log_sum_exp(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `tf.reduce_logsumexp` does over the last axis; only where kernels are `usable`.

    Args:
        values: float32 `(..., size)`; it has no gradient.

    Returns:
        The result `(...)`, and peaks that `top_k` of the same values is faster with.
    """
    result, peaks = library().seq2seq_log_sum_exp(values=values)
    leading = tf.TensorShape(values.shape)[:-1]
    result.set_shape(leading)
    peaks.set_shape(leading.concatenate([None]))
    return result, peaks


def top_k(values: tf.Tensor, k: int, peaks: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `tf.math.top_k` does; only where kernels are `usable`.

    Args:
        values: float32 `(..., size)`.
        k: How many, at most `size`.
        peaks: What `log_sum_exp` returned for the same values.

    Returns:
        Values and int32 indices, both `(..., k)`, largest first.
    """
    peaks = tf.zeros(0) if peaks is None else peaks
    largest, indices = library().seq2seq_top_k(values=values, k=k, peaks=peaks)
    for result in (largest, indices):
        result.set_shape([*values.shape[:-1], k])
    return largest, indices
