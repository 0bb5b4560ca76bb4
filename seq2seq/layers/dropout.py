"""Dropout: Keras' own, faster."""

import keras
import tensorflow as tf

from seq2seq.kernels.dropout import dropout
from seq2seq.kernels.library import usable


@keras.saving.register_keras_serializable(package="seq2seq")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, faster: same arguments, other random numbers.

    Example:
        >>> Dropout(0.3)(np.ones((64, 20, 512)), training=True)
    """

    def call(self, inputs: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Drops elements of a tensor of any shape in training."""
        wanted = bool(training) and 0 < self.rate < 1 and self.noise_shape is None
        if not wanted or not usable(inputs.dtype, training=True):
            return super().call(inputs, training=training)
        return dropout(inputs, self.seed_generator.next(), self.rate)
