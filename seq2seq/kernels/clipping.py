"""Clipping of gradients by their common norm, in place."""

from collections.abc import Sequence

import tensorflow as tf

from seq2seq.kernels.library import library, usable


def clip_by_global_norm(gradients: Sequence[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Scales gradients so that the norm of all of them together is at most `limit`.

    As in Keras, a norm that is not finite makes all gradients NaN.

    Args:
        gradients: One at least, of any shape.
        limit: The largest norm, above 0.

    Returns:
        The gradients, scaled by the same factor.
    """
    single = all(gradient.dtype == tf.float32 for gradient in gradients)
    if single and usable(tf.float32, training=True):
        clipped = library().seq2seq_clip_by_global_norm(limit=limit, gradients=gradients)
        pairs = zip(clipped, gradients, strict=True)
        return [tf.ensure_shape(each, gradient.shape) for each, gradient in pairs]
    squares = [tf.nn.l2_loss(tf.cast(gradient, tf.float32)) for gradient in gradients]
    norm = tf.sqrt(2 * tf.add_n(squares))
    scale = limit / tf.maximum(norm, limit) + (norm - norm)
    return [gradient * tf.cast(scale, gradient.dtype) for gradient in gradients]
