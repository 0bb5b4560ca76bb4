"""Dropout (Srivastava et al., 2014)."""

from collections.abc import Callable

import keras
import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.dispatch import usable
from seq2seq.private_api import stop_recording


def dropout(x: tf.Tensor, rate: float, seed: keras.random.SeedGenerator) -> tf.Tensor:
    """Zeros a share of the elements, above 0 and below 1, and scales the others up.

    The kernel keeps no random numbers: its gradient draws the same ones again.
    """
    if usable(x.dtype, training=True):
        return _drop(x, seed.next(), rate)
    return keras.random.dropout(x, rate, seed=seed)


def _drop(x: tf.Tensor, seed: tf.Tensor, rate: float) -> tf.Tensor:
    @tf.custom_gradient
    def run(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        with stop_recording():
            dropped = library().seq2seq_dropout(x=x, seed=tf.cast(seed, tf.uint32), rate=rate)
        return tf.ensure_shape(dropped, x.shape), lambda d: _drop(d, seed, rate)

    return run(x)
