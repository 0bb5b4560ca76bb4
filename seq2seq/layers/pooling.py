"""Pooling: one vector for a sequence of any length, without its padding.

Poolings map outputs `(batch, steps, units)` and lengths `(batch,)` to `(batch, units)`; a row of
length 0 gives zeros.
"""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import positive
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense


def step_mask(outputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns whether each step is real, `(batch, steps, 1)`, for outputs `(batch, steps, ...)`."""
    return tf.expand_dims(tf.sequence_mask(lengths, tf.shape(outputs)[1]), -1)


class Pooling(ConfiguredLayer):
    """Base class; lengths are passed explicitly, and no Keras mask is used."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """A vector needs no mask."""
        return


@keras.saving.register_keras_serializable(package="seq2seq")
class LastPooling(Pooling):
    """The last output of each direction.

    Args:
        bidirectional: Whether the second half of the outputs reads from right to left, so that its
            last output is that of the first step.
    """

    def __init__(self, bidirectional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def call(self, outputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Pools a batch."""
        real = tf.cast(step_mask(outputs, lengths), outputs.dtype)
        outputs *= real
        last = tf.gather(outputs, tf.maximum(lengths - 1, 0), batch_dims=1)
        if not self.bidirectional:
            return last
        half = outputs.shape[-1] // 2
        return tf.concat([last[:, :half], outputs[:, 0, half:]], axis=-1)


@keras.saving.register_keras_serializable(package="seq2seq")
class MeanPooling(Pooling):
    """The mean of the outputs of all real steps."""

    def call(self, outputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Pools a batch."""
        real = tf.where(step_mask(outputs, lengths), tf.cast(outputs, tf.float32), 0.0)
        count = tf.cast(tf.maximum(lengths, 1), tf.float32)[:, tf.newaxis]
        return tf.cast(tf.reduce_sum(real, axis=1) / count, outputs.dtype)


@keras.saving.register_keras_serializable(package="seq2seq")
class MaxPooling(Pooling):
    """The largest output of all real steps, unit by unit."""

    def call(self, outputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Pools a batch."""
        real = tf.where(step_mask(outputs, lengths), outputs, outputs.dtype.min)
        largest = tf.reduce_max(real, axis=1)
        return tf.where(lengths[:, tf.newaxis] > 0, largest, tf.zeros_like(largest))


@keras.saving.register_keras_serializable(package="seq2seq")
class AttentionPooling(Pooling):
    """A mean of the real steps' outputs, weighted by how well each fits a learnt query.

    The weights are `softmax(u . tanh(W outputs + b))` (Yang et al., 2016,
    https://aclanthology.org/N16-1174). `units` is the width of the query `u`.
    """

    def __init__(self, units: int = 128, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        positive("units", units)
        self.units = units
        with default_policy(self.dtype_policy):
            self.hidden = Dense(units, activation="tanh", name="hidden")
            self.query = Dense(1, use_bias=False, name="query")

    def call(
        self, outputs: tf.Tensor, lengths: tf.Tensor, return_weights: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Pools a batch; with `return_weights` it returns float32 `(batch, steps)`, too."""
        real = step_mask(outputs, lengths)[..., 0]
        scores = tf.cast(self.query(self.hidden(outputs))[..., 0], tf.float32)
        weights = tf.nn.softmax(tf.where(real, scores, scores.dtype.min), axis=-1)
        weights = tf.where(real, weights, 0.0)
        pooled = tf.einsum("bs,bsu->bu", tf.cast(weights, outputs.dtype), outputs)
        return (pooled, weights) if return_weights else pooled
