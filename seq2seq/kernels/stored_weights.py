"""Weights as they are stored, also where a layer's policy has them cast."""

from typing import Any

import tensorflow as tf
from keras.src.backend import AutocastScope  # Keras has no public way


def stored(weight: Any) -> tf.Tensor:
    """Returns a weight's value in the type that it is kept and trained in.

    Under a policy such as `mixed_bfloat16` Keras casts all weights of a layer when it is called,
    and their gradients back. Kernels round while they pack, and give float32 gradients.

    Args:
        weight: A Keras variable.
    """
    with AutocastScope(None):
        return tf.convert_to_tensor(weight)


def widened(weight: Any) -> tf.Tensor:
    """Returns a weight's value as kernels take it: float32, also where it is kept in bfloat16.

    Args:
        weight: A Keras variable.
    """
    return tf.cast(stored(weight), tf.float32)
