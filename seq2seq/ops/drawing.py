"""Drawing tokens from the distribution that logits give."""

import tensorflow as tf


def draw(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Draws a token for each row, by inverting the cumulative distribution.

    Args:
        logits: Float32 `(..., vocabulary_size)`; -inf where a token cannot be drawn.
        noise: Random numbers in [0, 1) of 23 bits, so that a number times a float32 sum is always
            below that sum, float32 `(...)`.

    Returns:
        Tokens, int32 `(...)`.
    """
    cumulative = tf.cumsum(tf.nn.softmax(logits), axis=-1)
    threshold = noise[..., tf.newaxis] * cumulative[..., -1:]
    return tf.reduce_sum(tf.cast(cumulative <= threshold, tf.int32), axis=-1)
