"""Scores: how well a query of the decoder fits each position of the source."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense


class Score(ConfiguredLayer):
    """A score of queries and keys.

    Attributes:
        query_projection: Maps decoder outputs, `(batch, steps, query_units)`, to queries.
        key_projection: Maps encoder outputs, `(batch, source_length, units)`, to keys.
    """

    query_projection: keras.layers.Layer
    key_projection: keras.layers.Layer

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, features: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Scores all pairs of queries and keys.

        Args:
            query: From `query_projection`, `(batch, steps, units)`.
            keys: From `key_projection`, `(batch, source_length, units)`.
            features: Of what each query's hypothesis has attended to before, `(batch, steps,
                source_length, units)`.

        Returns:
            `(batch, steps, source_length)`.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="seq2seq")
class DotScore(Score):
    """Dot products of queries and keys; it takes no features.

    Args:
        query_units: Units of the decoder.
        kind: `general`, `dot` or `scaled_dot`, see `LuongAttention`.
        keys: The key projection; by default it is made here.
    """

    def __init__(
        self,
        query_units: int,
        kind: str = "general",
        keys: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        with default_policy(self.dtype_policy):
            self.query_projection = keras.layers.Identity(name="query")
            self.key_projection = keys or (
                Dense(query_units, use_bias=False, name="keys")
                if kind == "general"
                else keras.layers.Identity(name="keys")
            )

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, features: tf.Tensor | None = None
    ) -> tf.Tensor:
        """See `Score.call`."""
        return tf.matmul(self.scaled(query, keys), keys, transpose_b=True)

    def scaled(self, query: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Returns queries whose dot products with keys are the scores.

        Raises:
            ValueError: If they differ in width.
        """
        units, width = query.shape[-1], keys.shape[-1]
        if units != width:
            raise ValueError(
                f"score: '{self.kind}' needs encoder outputs as wide as the decoder; they have "
                f"{width} and {units} units. 'general' fits any widths."
            )
        return query * query.shape[-1] ** -0.5 if self.kind == "scaled_dot" else query


@keras.saving.register_keras_serializable(package="seq2seq")
class AdditiveScore(Score):
    """`v . tanh(query + keys + features)`, see `BahdanauAttention`.

    It needs `batch * steps * source_length * units` numbers at once.

    Args:
        units: Width of queries and keys.
        normalize: Whether `v` is a direction and a learnt length.
        keys: The key projection; by default it is made here.
    """

    def __init__(
        self,
        units: int,
        normalize: bool = False,
        keys: keras.layers.Layer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        """See `Score.call`."""
        v = tf.convert_to_tensor(self.v)
        if self.normalize:
            v *= self.length * tf.math.rsqrt(tf.reduce_sum(v**2))
        keys = keys[:, tf.newaxis]
        if features is not None:
            keys += tf.cast(features, keys.dtype)
        hidden = tf.tanh(query[:, :, tf.newaxis] + keys)
        return tf.tensordot(hidden, tf.cast(v, hidden.dtype), axes=1)
