"""A window on the source, around a position that each step predicts."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.dense import Dense
from seq2seq.layers.recurrent_steps import state_dtype


@keras.saving.register_keras_serializable(package="seq2seq")
class PredictedWindow(ConfiguredLayer):
    """Luong's local-p window (Luong et al., 2015, section 3.2, https://arxiv.org/abs/1508.04025).

    A step looks from `centre - reach` to `centre + reach`, where `centre = source_length *
    sigmoid(v . tanh(W query))`, and its weights are multiplied with a Gaussian around the centre,
    of deviation `reach / 2`. So they add up to less than 1.

    Args:
        units: Units of the decoder.
        reach: Source positions seen on each side of the centre.
    """

    def __init__(self, units: int, reach: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units, self.reach = units, reach
        self.hidden = Dense(
            units, activation="tanh", use_bias=False, dtype=self.dtype_policy, name="hidden"
        )

    def build(self, *shapes: Any) -> None:
        """Makes `v`."""
        self.v = self.add_weight(
            shape=(self.units,), initializer="glorot_uniform", autocast=False, name="v"
        )

    def call(self, query: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Predicts a position for each query.

        Args:
            query: Decoder outputs, `(batch, steps, query_units)`.
            mask: Booleans, `(batch, source_length)`.

        Returns:
            The distance of each source position from it, float32 `(batch, steps, source_length)`.
        """
        # Positions beyond 256 do not fit into bfloat16.
        dtype = state_dtype(tf.as_dtype(self.compute_dtype))
        v = tf.cast(self.v, dtype)
        share = tf.sigmoid(tf.tensordot(tf.cast(self.hidden(query), dtype), v, axes=1))
        lengths = tf.reduce_sum(tf.cast(mask, dtype), axis=1, keepdims=True)
        positions = tf.range(tf.shape(mask)[1])
        return tf.cast(positions, dtype) - (lengths * share)[..., tf.newaxis]

    def inside(self, distance: tf.Tensor) -> tf.Tensor:
        """Returns which distances, of any shape, are in the window."""
        return tf.abs(distance) <= self.reach

    def gaussian(self, distance: tf.Tensor) -> tf.Tensor:
        """Returns the factor of the weights at each distance."""
        return tf.exp(-2 * (distance / self.reach) ** 2)
