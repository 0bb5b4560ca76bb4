"""Attention: what a decoder reads from the encoder's outputs at each of its steps.

An attention keeps nothing between calls. `prepare` projects the encoder's outputs once a source;
what has to go on from step to step is a state that the caller holds, any nest of tensors with one
row a source, so that a search can carry, reorder and tile it.
"""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.attention_scores import DotScore, Score

Memory = dict[str, tf.Tensor]
"""What is attended to: `keys` and `values`, `(batch, source_length, units)`, each of its own width,
and `mask`, booleans `(batch, source_length)`, true where a source token is real."""

AttentionState = dict[str, tf.Tensor]
"""What an attention carries from step to step, by name; empty if it carries nothing."""


@keras.saving.register_keras_serializable(package="seq2seq")
class PrepareMemory(keras.layers.Layer):
    """Projects encoder outputs, once a source.

    Args:
        keys: Maps encoder outputs to keys.
    """

    def __init__(self, keys: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = keys

    def call(self, outputs: tf.Tensor, lengths: tf.Tensor) -> Memory:
        """See `Attention.prepare`."""
        mask = tf.sequence_mask(lengths, tf.shape(outputs)[1])
        return {"keys": self.keys(outputs), "values": outputs, "mask": mask}


class Attention(keras.layers.Layer):
    """Scores each source position for each query, and averages the values by these scores.

    Args:
        score: The score of queries and keys.
    """

    def __init__(self, score: Score, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # what is carried stays float32
        self.score = score
        self.memory = PrepareMemory(score.key_projection, name="memory")

    def prepare(self, outputs: tf.Tensor, lengths: tf.Tensor) -> Memory:
        """Makes the memory of a batch, once a source.

        Args:
            outputs: Encoder outputs, `(batch, source_length, units)`.
            lengths: Real tokens of each source, int `(batch,)`. A row may have none: its weights
                and its context are then zeros.

        Returns:
            The memory.
        """
        return self.memory(outputs, lengths)

    def initial_state(self, memory: Memory) -> AttentionState:
        """Returns the state before the first step."""
        return {}

    def call(
        self, query: tf.Tensor, memory: Memory, state: AttentionState
    ) -> tuple[tf.Tensor, tf.Tensor, AttentionState]:
        """Attends to the memory from any number of steps.

        Args:
            query: Decoder outputs, `(batch, steps, query_units)`.
            memory: From `prepare`.
            state: From `initial_state` or the call before.

        Returns:
            The context `(batch, steps, units)`, the weights, float32 `(batch, steps,
            source_length)`, which are 0 at padding, and the state after the last step.
        """
        weights = masked_softmax(self.score(query, memory["keys"]), memory["mask"])
        return tf.matmul(tf.cast(weights, query.dtype), memory["values"]), weights, state


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Normalises scores over the source in float32.

    Args:
        scores: `(batch, steps, source_length)`.
        mask: Booleans, `(batch, source_length)` or, where it depends on the step, as `scores`.

    Returns:
        Weights, `(batch, steps, source_length)`. They are exactly 0 where the mask is false, and
        add up to 1 where any of it is true.
    """
    dtype = tf.float64 if scores.dtype == tf.float64 else tf.float32
    real = tf.cast(mask if mask.shape.rank == 3 else mask[:, tf.newaxis], dtype)
    # Far below any score, but finite: a row that is all padding must not give NaN.
    return tf.nn.softmax(tf.cast(scores, dtype) + 1e9 * (real - 1)) * real


@keras.saving.register_keras_serializable(package="seq2seq")
class LuongAttention(Attention):
    """Multiplicative attention (Luong et al., 2015, https://arxiv.org/abs/1508.04025).

    Args:
        query_units: Units of the decoder.
        score: `general` (the keys are a linear map of the encoder outputs), `dot` (they are the
            outputs, which must be as wide as the decoder) or `scaled_dot` (the same, divided by
            the root of the width).

    Raises:
        ValueError: If `score` is unknown.

    Example:
        >>> attention = LuongAttention(query_units=64)
        >>> memory = attention.prepare(encoder_outputs, lengths)
        >>> state = attention.initial_state(memory)
        >>> context, weights, state = attention(decoder_outputs, memory, state)
    """

    def __init__(self, query_units: int, score: str = "general", **kwargs: Any) -> None:
        super().__init__(DotScore(query_units, score), **kwargs)
