"""What a search needs of logits: the largest of them, and their normalizer."""

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.dispatch import usable

CHUNKS = (40, 32, 50, 25, 64, 20, 16)
"""Chunk sizes by preference; at beam 5 and 8,000 values all take a sixth of `tf.math.top_k`."""


def top_k(values: tf.Tensor, k: int, peaks: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `tf.math.top_k` does, faster on CPU; ties may come in another order.

    Only the `k` chunks with the largest maxima can hold the `k` largest values, so that all others
    are read once, by a vectorised maximum.

    Args:
        values: float32 `(batch, width, size)`.
        k: How many, at most `size`.
        peaks: From `log_sum_exp` of the same values, which make it faster.

    Returns:
        Values and int32 indices, both `(batch, width, k)`, largest first.
    """
    if usable(values.dtype, training=False):
        peaks = tf.zeros(0) if peaks is None else peaks
        results = library().seq2seq_top_k(values=values, k=k, peaks=peaks)
        for result in results:
            result.set_shape([*values.shape[:-1], k])
        return tuple(results)
    size = values.shape[-1]
    if size is None:
        return tf.math.top_k(values, k)
    chunk = next((chunk for chunk in CHUNKS if size % chunk == 0), CHUNKS[0])
    count = size // chunk
    if count <= 2 * k:
        return tf.math.top_k(values, k)
    head = values if count * chunk == size else values[..., : count * chunk]
    shape = tf.shape(values)[:2]
    head = tf.reshape(head, tf.concat([shape, [count, chunk]], 0))
    _, chunks = tf.math.top_k(tf.reduce_max(head, axis=-1), k)
    candidates = tf.reshape(
        tf.gather(head, chunks, batch_dims=2), tf.concat([shape, [k * chunk]], 0)
    )
    candidates = tf.concat([candidates, values[..., count * chunk :]], axis=-1)
    best, places = tf.math.top_k(candidates, k)
    origins = tf.gather(chunks, tf.minimum(places // chunk, k - 1), batch_dims=2)
    tail = places - k * chunk + count * chunk
    return best, tf.where(places < k * chunk, origins * chunk + places % chunk, tail)


def argmax(values: tf.Tensor, peaks: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the index of each row's largest value: `(batch, width, size)` -> int32."""
    if usable(values.dtype, training=False):
        return top_k(values, 1, peaks)[1][..., 0]
    return tf.argmax(values, axis=-1, output_type=tf.int32)


def log_sum_exp(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the normalizer of logits, as `tf.reduce_logsumexp`, faster on CPU; no gradient.

    Args:
        logits: float32 `(..., size)`.

    Returns:
        The normalizer `(...)`; and, from a kernel, peaks that make `top_k` faster.
    """
    if not usable(logits.dtype, training=False):
        peak = tf.reduce_max(logits, axis=-1, keepdims=True)
        return tf.math.log(tf.reduce_sum(tf.exp(logits - peak), axis=-1)) + peak[..., 0], None
    normalizer, peaks = library().seq2seq_log_sum_exp(values=logits)
    leading = tf.TensorShape(logits.shape)[:-1]
    normalizer.set_shape(leading)
    peaks.set_shape(leading.concatenate([None]))
    return normalizer, peaks
