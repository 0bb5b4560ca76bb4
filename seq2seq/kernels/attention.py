"""Attention by dot products as one operation forward and one back."""

import tensorflow as tf

from seq2seq.kernels.derivatives import Gradient, Tensors, differentiable
from seq2seq.kernels.library import library


def dot_attention(
    query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Attends to a source from all steps of its target, or from all hypotheses in one step.

    Only where kernels are `usable`.

    Args:
        query: `(batch, steps, units)`, float32 or bfloat16.
        keys: `(batch, source_length, units)`, as `query`.
        values: `(batch, source_length, value_units)`, as `query`.
        mask: Booleans `(batch, source_length)`, true where a source token is real.

    Returns:
        The context `(batch, steps, value_units)`, and the weights `(batch, steps,
        source_length)`: the softmax of the scores `query . key` where the mask is true, and 0
        elsewhere. The context is as `query`, the weights are float32.
    """
    operations = library()

    def run(query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor) -> tuple[Tensors, Gradient]:
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

    def reference(query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> Tensors:
        dtype, real = query.dtype, mask[:, tf.newaxis]
        query, keys, values = (tf.cast(x, tf.float32) for x in (query, keys, values))
        scores = tf.where(real, tf.matmul(query, keys, transpose_b=True), -1e9)
        weights = tf.nn.softmax(scores) * tf.cast(real, tf.float32)
        return tf.cast(tf.matmul(weights, values), dtype), weights

    return differentiable(run, reference, (mask,))(query, keys, values)
