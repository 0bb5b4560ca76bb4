"""The Mogrifier LSTM: input and state gate each other before each step (Melis et al., 2020)."""

from collections.abc import Sequence

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.plain_recurrence import PlainLayer
from seq2seq.ops.recurrent import Weights


def mogrifier_lstm(
    weights: Weights, rounds: Sequence[tf.Tensor], sequences: tf.Tensor, dtype: tf.DType
) -> PlainLayer:
    """Returns the Mogrifier LSTM (https://arxiv.org/abs/1909.01792).

    Before each step, in round 1, 3, ... `x = 2 * sigmoid(h Q) * x`, and in round 2, 4, ... `h = 2 *
    sigmoid(x R) * h`, each with a matrix of its own; then the step is an LSTM's of this `x` and
    `h`.

    Args:
        weights: The LSTM's, of the type of the sequences.
        rounds: The matrices, `(units, features)` and `(features, units)` in turn, of that type.
        sequences: `(batch, time, features)`.
        dtype: Of states and gates.
    """
    product_dtype = sequences.dtype

    def times(values: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.matmul(tf.cast(values, product_dtype), matrix), dtype)

    def step(x: tf.Tensor, states: Tensors) -> tuple[Tensors, dict[str, tf.Tensor]]:
        h, c = states
        for number, matrix in enumerate(rounds):
            if number % 2 == 0:
                x = 2 * tf.sigmoid(times(h, matrix)) * x
            else:
                h = 2 * tf.sigmoid(times(x, matrix)) * h
        preactivations = times(x, weights.kernel) + times(h, weights.recurrent_kernel)
        if weights.bias is not None:
            preactivations += tf.cast(weights.bias, dtype)
        i, f, g, o = tf.split(preactivations, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        gates = {"input_gate": i, "forget_gate": f, "candidate": g, "output_gate": o}
        return (o * tf.tanh(c), c), gates

    return PlainLayer(sequences, step)
