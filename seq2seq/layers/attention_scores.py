"""The parts of an attention: scores of queries and keys, windows, and histories of its weights."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense
from seq2seq.ops.dispatch import state_dtype


@keras.saving.register_keras_serializable(package="seq2seq")
class DotScore(ConfiguredLayer):
    """Dot products of queries and keys, `general`, `dot` or `scaled_dot`.

    A score has two layers: `query_projection` of decoder outputs, `(batch, steps, query_units)`,
    and `key_projection` of encoder outputs, `(batch, source_length, units)`, by default made here.
    """

    def __init__(
        self,
        query_units: int,
        kind: str = "general",
        keys: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.kind = kind
        with default_policy(self.dtype_policy):
            self.query_projection = keras.layers.Identity(name="query")
            self.key_projection = keys or (
                Dense(query_units, use_bias=False, name="keys")
                if kind == "general"
                else keras.layers.Identity(name="keys")
            )
        self.built = True  # it has no weights, and is not always called

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, features: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the scores of all pairs, `(batch, steps, source_length)`; takes no features."""
        return tf.matmul(self.scaled(query, keys), keys, transpose_b=True)

    def scaled(self, query: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Returns queries whose dot products with keys, which must be as wide, are the scores."""
        units, width = query.shape[-1], keys.shape[-1]
        if units != width:
            raise ValueError(
                f"score: '{self.kind}' needs encoder outputs as wide as the decoder; they have "
                f"{width} and {units} units. 'general' fits any widths."
            )
        return query * query.shape[-1] ** -0.5 if self.kind == "scaled_dot" else query


@keras.saving.register_keras_serializable(package="seq2seq")
class AdditiveScore(ConfiguredLayer):
    """`v . tanh(query + keys + features)`, see `BahdanauAttention`.

    It needs `batch * steps * source_length * units` numbers at once.
    """

    def __init__(
        self,
        units: int,
        normalize: bool = False,
        keys: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units, self.normalize = units, normalize
        with default_policy(self.dtype_policy):
            self.query_projection = Dense(units, use_bias=False, name="query")
            self.key_projection = keys or Dense(units, name="keys")

    def build(self, *shapes: Any) -> None:
        """Makes `v` and, to normalise it, its length."""
        self.v = self.add_weight(
            shape=(self.units,), initializer="glorot_uniform", autocast=False, name="v"
        )
        if self.normalize:
            start = keras.initializers.Constant(self.units**-0.5)
            self.length = self.add_weight(
                shape=(), initializer=start, autocast=False, name="length"
            )

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, features: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns scores as `DotScore`; features are `(batch, steps, source_length, units)`."""
        v = tf.convert_to_tensor(self.v)
        if self.normalize:
            v *= self.length * tf.math.rsqrt(tf.reduce_sum(v**2))
        keys = keys[:, tf.newaxis]
        if features is not None:
            keys += tf.cast(features, keys.dtype)
        hidden = tf.tanh(query[:, :, tf.newaxis] + keys)
        return tf.tensordot(hidden, tf.cast(v, hidden.dtype), axes=1)


Score = DotScore | AdditiveScore


@keras.saving.register_keras_serializable(package="seq2seq")
class PredictedWindow(ConfiguredLayer):
    """Luong's local-p window (Luong et al., 2015, section 3.2, https://arxiv.org/abs/1508.04025).

    A step attends from `centre - reach` to `centre + reach`, where `centre = source_length *
    sigmoid(v . tanh(W query))`, and its weights are multiplied with a Gaussian around the centre,
    of deviation `reach / 2`. So they add up to less than 1.

    Args:
        units: Units of the decoder.
        reach: Source positions on each side of the centre.
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
        """Returns the distance of each source position from the one that a query predicts.

        Maps `(batch, steps, query_units)` and a mask `(batch, source_length)` to float32 `(batch,
        steps, source_length)`.
        """
        # Positions beyond 256 do not fit into bfloat16.
        dtype = state_dtype(tf.as_dtype(self.compute_dtype))
        v = tf.cast(self.v, dtype)
        share = tf.sigmoid(tf.tensordot(tf.cast(self.hidden(query), dtype), v, axes=1))
        lengths = tf.reduce_sum(tf.cast(mask, dtype), axis=1, keepdims=True)
        positions = tf.range(tf.shape(mask)[1])
        return tf.cast(positions, dtype) - (lengths * share)[..., tf.newaxis]

    def inside(self, distance: tf.Tensor) -> tf.Tensor:
        """Returns whether distances, of any shape, are in the window."""
        return tf.abs(distance) <= self.reach

    def gaussian(self, distance: tf.Tensor) -> tf.Tensor:
        """Returns the factor of the weights at each distance."""
        return tf.exp(-2 * (distance / self.reach) ** 2)


class History(ConfiguredLayer):
    """Carries one number a source position from step to step, and makes features of it.

    This state, float32 `(batch, source_length)`, is zeros at first; its name is `field`.
    """

    field: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def initial_state(self, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the state before the first step, for a mask `(batch, source_length)`."""
        dtype = state_dtype(tf.as_dtype(self.compute_dtype))
        return {self.field: keras.ops.zeros_like(mask, dtype=dtype.name)}

    def next(self, state: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Returns the state after a step with these weights, of the same shape."""
        raise NotImplementedError

    def call(self, state: tf.Tensor) -> tf.Tensor:
        """Maps the state to features, `(batch, source_length, units)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="seq2seq")
class Coverage(History):
    """The sum of all weights so far (See et al., 2017, https://arxiv.org/abs/1704.04368)."""

    field = "coverage"

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projection = Dense(units, use_bias=False, dtype=self.dtype_policy, name="projection")

    def next(self, state: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """See `History.next`."""
        return state + tf.cast(weights, state.dtype)

    def call(self, state: tf.Tensor) -> tf.Tensor:
        """See `History.call`."""
        return self.projection(state[..., tf.newaxis])


@keras.saving.register_keras_serializable(package="seq2seq")
class Location(History):
    """Filters over the weights of the step before, see `LocationAwareAttention`."""

    field = "previous_weights"

    def __init__(self, units: int, filters: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.filters, self.width = units, filters, width
        with default_policy(self.dtype_policy):
            self.convolution = keras.layers.Conv1D(
                filters, width, padding="same", use_bias=False, name="convolution"
            )
            self.projection = Dense(units, use_bias=False, name="projection")

    def next(self, state: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """See `History.next`."""
        return tf.cast(weights, state.dtype)

    def call(self, state: tf.Tensor) -> tf.Tensor:
        """See `History.call`."""
        return self.projection(self.convolution(state[..., tf.newaxis]))


@keras.saving.register_keras_serializable(package="seq2seq")
class CoverageLoss(ConfiguredLayer):
    """The loss of attending again: `weight` times the sum of `min(attention, coverage)`.

    See et al., 2017, https://arxiv.org/abs/1704.04368.
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.weight = weight

    def call(self, alignments: tf.Tensor) -> tf.Tensor:
        """Maps weights, `(batch, steps, source_length)`, to losses, `(batch, steps)`."""
        coverage = tf.cumsum(alignments, axis=1, exclusive=True)
        return self.weight * tf.reduce_sum(tf.minimum(alignments, coverage), axis=-1)
