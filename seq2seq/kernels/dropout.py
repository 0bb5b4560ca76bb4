"""Dropout without random numbers kept: the gradient draws the same ones again."""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.eager.record import stop_recording  # TensorFlow has no public way

from seq2seq.kernels.library import library


def dropout(x: tf.Tensor, seed: tf.Tensor, rate: float) -> tf.Tensor:
    """Zeros a share of the elements and scales the others up; only where kernels are `usable`.

    Args:
        x: Any shape, float32 or bfloat16.
        seed: Two integers; the same seed drops the same elements.
        rate: The share that is dropped, at least 0 and below 1.

    Returns:
        As `x`.
    """

    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        with stop_recording():
            dropped = library().seq2seq_dropout(x=x, seed=tf.cast(seed, tf.uint32), rate=rate)
        return tf.ensure_shape(dropped, x.shape), lambda d: dropout(d, seed, rate)

    return run(x)
