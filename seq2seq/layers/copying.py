"""Copying: mixes the decoder's distribution with the attention over the source's tokens.

The pointer-generator of See et al., 2017 (https://arxiv.org/abs/1704.04368), for one vocabulary of
source and target, so that copied tokens have ids already.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq2seq.layers.attention import Memory, row_by_row, side_by_side
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.ops.dispatch import state_dtype


class CopyShares(NamedTuple):
    """The logarithms of the shares of probability that are generated and copied, `(batch, steps)`.

    What is copied is to be multiplied with the attention's weights.
    """

    generated: tf.Tensor
    copied: tf.Tensor


@keras.saving.register_keras_serializable(package="seq2seq")
class CopyGate(ConfiguredLayer):
    """Decides at each step how much to copy."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.dense = keras.layers.Dense(1, dtype=self.dtype_policy, name="dense")

    def call(self, outputs: tf.Tensor, inputs: tf.Tensor, alignments: tf.Tensor) -> CopyShares:
        """Returns the shares, float32, from the decoder's `(batch, steps, ...)` outputs and inputs.

        What the attention's weights, `(batch, steps, source_length)`, lack to 1, in a window or
        where the source is empty, is generated.
        """
        gate = self.dense(tf.concat([outputs, inputs], axis=-1))[..., 0]
        gate = tf.cast(gate, state_dtype(gate.dtype))
        copied = tf.math.log_sigmoid(-gate)
        lacking = 1 - tf.reduce_sum(tf.cast(alignments, gate.dtype), axis=-1)
        generated = log_add(tf.math.log_sigmoid(gate), copied + log_or_least(lacking))
        return CopyShares(generated, copied)


@keras.saving.register_keras_serializable(package="seq2seq")
class CopyMixture(ConfiguredLayer):
    """Mixes the generated and the copied distribution."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def call(
        self, logits: tf.Tensor, shares: CopyShares, alignments: tf.Tensor, memory: Memory
    ) -> tf.Tensor:
        """Returns log-probabilities, float32, in the shape of the logits.

        Args:
            logits: `(batch, steps, vocabulary_size)` or, in a single step of several hypotheses
                a source, `(rows, 1, vocabulary_size)`.
            shares: From `CopyGate`.
            alignments: The attention's weights, `(batch, steps, source_length)`.
            memory: The attention's, and `tokens`, int `(batch, source_length)`, the ids of the
                source.
        """
        one_step = logits.shape[1] == 1
        operands = (logits, *shares, alignments)
        if one_step:
            operands = tuple(side_by_side(tensor, memory) for tensor in operands)
        logits, generated, copied, alignments = operands
        logits = tf.cast(logits, generated.dtype)
        mixed = tf.nn.log_softmax(logits) + generated[..., tf.newaxis]
        mixed = _add_copied(mixed, copied, alignments, memory["tokens"])
        return row_by_row(mixed) if one_step else mixed


def _add_copied(
    generated: tf.Tensor, share: tf.Tensor, alignments: tf.Tensor, tokens: tf.Tensor
) -> tf.Tensor:
    """Adds the copied share, a logarithm `(batch, steps)`, to the tokens of the source alone.

    Maps log-probabilities `(batch, steps, vocabulary_size)` to the same shape.
    """
    tokens = tf.cast(tokens, tf.int32)
    same = tf.equal(tokens[:, :, tf.newaxis], tokens[:, tf.newaxis])
    weights = tf.matmul(alignments, tf.cast(same, alignments.dtype))
    before = tf.gather(generated, tokens, axis=2, batch_dims=1)
    after = log_add(before, share[..., tf.newaxis] + log_or_least(weights))
    # A token that comes more than once is changed once, with the weights of all its places.
    first = tf.equal(tf.argmax(same, axis=2, output_type=tf.int32), tf.range(tf.shape(tokens)[1]))
    change = tf.where(first[:, tf.newaxis], after - before, 0)
    batch, steps, _ = tf.unstack(tf.shape(change))
    axes = [tf.range(batch)[:, tf.newaxis, tf.newaxis], tf.range(steps)[:, tf.newaxis]]
    places = [tf.broadcast_to(axis, tf.shape(change)) for axis in (*axes, tokens[:, tf.newaxis])]
    return tf.tensor_scatter_nd_add(generated, tf.stack(places, axis=-1), change)


def log_add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns `log(exp(one) + exp(other))`."""
    return one + tf.nn.softplus(other - one)


def log_or_least(share: tf.Tensor) -> tf.Tensor:
    """Returns the logarithm of a share, or of a negligible one where it is 0."""
    return tf.math.log(tf.maximum(share, 1e-30))
