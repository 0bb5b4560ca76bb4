"""What an attention remembers of the steps before, and the loss for attending twice."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense
from seq2seq.layers.recurrent_steps import state_dtype


class History(ConfiguredLayer):
    """Carries one number a source position from step to step, and makes features of it.

    Attributes:
        field: The name of what is carried, float32 `(batch, source_length)`, zeros at first.
    """

    field: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def initial_state(self, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the state before the first step, for a mask `(batch, source_length)`."""
        dtype = state_dtype(tf.as_dtype(self.compute_dtype))
        return {self.field: keras.ops.zeros_like(mask, dtype=dtype.name)}

    def next(self, carried: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns what is carried on after a step with these weights, of the same shape."""
        raise NotImplementedError

    def call(self, carried: tf.Tensor) -> tf.Tensor:
        """Maps what is carried to features, `(batch, source_length, units)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="seq2seq")
class Coverage(History):
    """The sum of all weights so far (See et al., 2017, https://arxiv.org/abs/1704.04368).

    Args:
        units: Width of the features.
    """

    field = "coverage"

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projection = Dense(units, use_bias=False, dtype=self.dtype_policy, name="projection")

    def next(self, carried: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """See `History.next`."""
        return carried + tf.cast(weights, carried.dtype)

    def call(self, carried: tf.Tensor) -> tf.Tensor:
        """See `History.call`."""
        return self.projection(carried[..., tf.newaxis])


@keras.saving.register_keras_serializable(package="seq2seq")
class Location(History):
    """Filters over the weights of the step before, see `LocationAwareAttention`.

    Args:
        units: Width of the features.
        filters: Number of filters.
        width: Source positions that a filter sees.
    """

    field = "previous_weights"

    def __init__(self, units: int, filters: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.filters, self.width = units, filters, width
        with default_policy(self.dtype_policy):
            self.convolution = keras.layers.Conv1D(
                filters, width, padding="same", use_bias=False, name="convolution"
            )
            self.projection = Dense(units, use_bias=False, name="projection")

    def next(self, carried: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """See `History.next`."""
        return tf.cast(weights, carried.dtype)

    def call(self, carried: tf.Tensor) -> tf.Tensor:
        """See `History.call`."""
        return self.projection(self.convolution(carried[..., tf.newaxis]))


@keras.saving.register_keras_serializable(package="seq2seq")
class CoverageLoss(ConfiguredLayer):
    """The loss of each step's attention that goes where attention went before.

    It is the sum over the source of `min(weight, coverage)` (See et al., 2017,
    https://arxiv.org/abs/1704.04368).

    Args:
        weight: What it is multiplied with.
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.weight = weight

    def call(self, alignments: tf.Tensor) -> tf.Tensor:
        """Maps weights, `(batch, steps, source_length)`, to losses, `(batch, steps)`."""
        coverage = tf.cumsum(alignments, axis=1, exclusive=True)
        return self.weight * tf.reduce_sum(tf.minimum(alignments, coverage), axis=-1)
