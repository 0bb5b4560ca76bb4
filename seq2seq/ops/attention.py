"""Attention by dot products, and the softmax over a source."""

from functools import partial

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import state_dtype, steps_usable, usable


def dot_attention(
    query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Attends to a source from all steps of its target, or from all hypotheses in one step.

    Args:
        query: `(batch, steps, units)`.
        keys: `(batch, source_length, units)`, of the type of `query`.
        values: `(batch, source_length, value_units)`, of the type of `query`.
        mask: Booleans `(batch, source_length)`, true where a source token is real.
        training: Whether gradients are wanted.

    Returns:
        The context `(batch, steps, value_units)`, of the type of `query`; and the weights, float32
        `(batch, steps, source_length)`: the softmax of `query . key`, 0 where the mask is false.
    """
    if steps_usable(query.dtype) or usable(query.dtype, training):
        return differentiable(partial(_kernel, mask), _reference, (mask,))(query, keys, values)
    scores = tf.matmul(query, keys, transpose_b=True)
    weights = masked_softmax(scores, mask[:, tf.newaxis])
    return tf.matmul(tf.cast(weights, query.dtype), values), weights


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Normalises scores over the source in float32.

    Args:
        scores: `(..., source_length)`.
        mask: Booleans that broadcast to the scores.

    Returns:
        Weights as `scores`. They are exactly 0 where the mask is false, and add up to 1 where any
        of it is true.
    """
    dtype = state_dtype(scores.dtype)
    # Far below any score, but finite: a row that is all padding must not give NaN.
    masked = tf.where(mask, tf.cast(scores, dtype), tf.constant(-1e9, dtype))
    return tf.nn.softmax(masked) * tf.cast(mask, dtype)


def _kernel(
    mask: tf.Tensor, query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor
) -> tuple[Tensors, Gradient]:
    operations = library()
    operands = {"query": query, "keys": keys, "values": values, "mask": mask}
    context, weights = operations.seq2seq_dot_attention(**operands)
    context.set_shape((*query.shape[:2], values.shape[2]))
    weights.set_shape((*query.shape[:2], keys.shape[1]))

    def gradient(d_context: tf.Tensor, d_weights: tf.Tensor) -> Tensors:
        gradients = operations.seq2seq_dot_attention_gradient(
            **operands, weights=weights, d_context=d_context, d_weights=d_weights
        )
        pairs = zip(gradients, (query, keys, values), strict=True)
        return tuple(tf.ensure_shape(d, x.shape) for d, x in pairs)

    return (context, weights), gradient


def _reference(query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> Tensors:
    """Computes in float32 what the kernel does."""
    dtype, real = query.dtype, mask[:, tf.newaxis]
    query, keys, values = (tf.cast(x, tf.float32) for x in (query, keys, values))
    scores = tf.where(real, tf.matmul(query, keys, transpose_b=True), -1e9)
    weights = tf.nn.softmax(scores) * tf.cast(real, tf.float32)
    return tf.cast(tf.matmul(weights, values), dtype), weights
