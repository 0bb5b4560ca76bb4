"""Attention by several heads."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.attention import Attention, AttentionState, Memory, PrepareMemory
from seq2seq.layers.checks import positive
from seq2seq.layers.configured import default_policy
from seq2seq.ops.attention import masked_softmax


@keras.saving.register_keras_serializable(package="seq2seq")
class MultiHeadAttention(Attention):
    """Several scaled dot products side by side (https://arxiv.org/abs/1706.03762).

    Its context is the concatenation of the heads; the map that follows in a Transformer is that of
    the decoder here. Its weights are the mean over the heads.

    Args:
        query_units: Units of the decoder.
        heads: Number of heads, which must divide the units.
        units: Width of all heads together; by default that of the decoder.
        memory: See `Attention`.
    """

    def __init__(
        self,
        query_units: int,
        heads: int = 8,
        units: int | None = None,
        memory: PrepareMemory | None = None,
        **kwargs: Any,
    ) -> None:
        units = query_units if units is None else units
        positive("heads", heads)
        positive("units", units)
        if units % heads:
            raise ValueError(f"heads: must divide the {units} units, got {heads}")
        width = units // heads

        def projection(name: str) -> keras.layers.Layer:
            return keras.layers.EinsumDense("bsu,uhw->bhsw", (heads, None, width), name=name)

        with default_policy(kwargs.get("dtype")):
            keys, values, query = (projection(name) for name in ("keys", "values", "query"))
        super().__init__(keys, values, memory, **kwargs)
        self.query_projection = query
        self.heads, self.width = heads, width

    def initial_context(self, memory: Memory) -> tf.Tensor:
        """See `Attention.initial_context`."""
        return keras.ops.zeros_like(
            keras.ops.reshape(memory["values"][:, :, 0], (-1, self.heads * self.width))
        )

    def attend(
        self,
        query: tf.Tensor,
        memory: Memory,
        state: AttentionState,
        training: bool,
        one_step: bool,
    ) -> tuple[tf.Tensor, tf.Tensor, AttentionState]:
        """See `Attention.attend`; keys and values are `(batch, heads, source_length, units)`."""
        queries = self.query_projection(query) * self.width**-0.5
        scores = tf.matmul(queries, memory["keys"], transpose_b=True)
        weights = masked_softmax(scores, memory["mask"][:, tf.newaxis, tf.newaxis])
        contexts = tf.matmul(tf.cast(weights, query.dtype), memory["values"])
        contexts = tf.transpose(contexts, (0, 2, 1, 3))
        shape = tf.concat([tf.shape(query)[:2], [self.heads * self.width]], axis=0)
        return tf.reshape(contexts, shape), tf.reduce_mean(weights, axis=1), state
