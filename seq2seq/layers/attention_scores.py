"""Scores: how well a query of the decoder fits each position of the source."""

from typing import Any

import keras
import tensorflow as tf


class Score(keras.layers.Layer):
    """A score of queries and keys.

    Attributes:
        key_projection: Maps encoder outputs, `(batch, source_length, units)`, to keys.
    """

    key_projection: keras.layers.Layer

    def call(self, query: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """Scores all pairs of queries and keys.

        Args:
            query: `(batch, steps, query_units)`.
            keys: `(batch, source_length, key_units)`.

        Returns:
            `(batch, steps, source_length)`.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="seq2seq")
class DotScore(Score):
    """Dot products, see `LuongAttention`.

    Args:
        query_units: Units of the decoder.
        kind: `general`, `dot` or `scaled_dot`.

    Raises:
        ValueError: If `kind` is unknown.
    """

    def __init__(self, query_units: int, kind: str = "general", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in ("general", "dot", "scaled_dot"):
            raise ValueError(f"score: must be general, dot or scaled_dot, got {kind!r}")
        self.kind = kind
        self.key_projection = (
            keras.layers.Dense(query_units, use_bias=False, name="keys")
            if kind == "general"
            else keras.layers.Identity(name="keys")
        )

    def call(self, query: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        """See `Score.call`."""
        units, width = query.shape[-1], keys.shape[-1]
        if units != width:
            raise ValueError(
                f"score: '{self.kind}' needs encoder outputs as wide as the decoder; they have "
                f"{width} and {units} units. 'general' fits any widths."
            )
        if self.kind == "scaled_dot":
            query *= units**-0.5
        return tf.matmul(query, keys, transpose_b=True)
