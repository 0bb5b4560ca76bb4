"""A recurrent layer by TensorFlow's operations: what kernels compute, wherever there are none."""

from typing import Literal, NamedTuple

import keras
import tensorflow as tf

from seq2seq.layers.recurrent_kernels import scan
from seq2seq.layers.recurrent_steps import GRUStep, LSTMStep, Step, Tensors


class LoopWeights(NamedTuple):
    """The maths of a step, and what it multiplies with.

    Attributes:
        step: One step.
        kernel: `(features, gates * units)`.
        bias: `(gates * units,)` or `None`.
        recurrent: What the step takes.
    """

    step: Step
    kernel: tf.Tensor
    bias: tf.Tensor | None
    recurrent: Tensors


def kernel_loop_weights(cell: Literal["lstm", "gru"], weights: Tensors) -> LoopWeights:
    """Returns the weights of a kernel, see `kernels.recurrent.recurrent_layer`, as a loop's."""
    kernel, recurrent, bias, *more = weights
    if cell == "lstm":
        return LoopWeights(LSTMStep(), kernel, bias, (recurrent,))
    return gru_loop_weights(kernel, recurrent, bias, more[0] if more else None)


def gru_loop_weights(
    kernel: tf.Tensor,
    recurrent: tf.Tensor,
    bias: tf.Tensor | None,
    recurrent_bias: tf.Tensor | None,
) -> LoopWeights:
    """Returns the weights of a GRU that resets after the product."""
    units = recurrent.shape[0]
    if recurrent_bias is None:
        candidate_bias = tf.zeros(units, kernel.dtype)
    else:
        gates_bias, candidate_bias = tf.split(recurrent_bias, [2 * units, units])
        bias += tf.pad(gates_bias, [[0, units]])
    return LoopWeights(GRUStep(), kernel, bias, (recurrent, candidate_bias))


def run_loop(
    weights: LoopWeights,
    sequences: tf.Tensor,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    go_backwards: bool,
    training: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer over time as a compiled loop.

    Args:
        weights: The layer's weights, of the type of the sequences.
        sequences: `(batch, time, features)`.
        states: The initial states, `(batch, units)` or `(1, units)` each, in `state_dtype`.
        mask: Booleans, `(batch, time)` or `(1, time)`, or `None`.
        return_sequences: Whether `h` after every step is wanted.
        go_backwards: Whether to start at the last step.
        training: See `scan`.

    Returns:
        `h` after every step, `(batch, time, units)`, in the order in which they were made, or
        `None` if not wanted; and the last states.
    """
    units = weights.recurrent[0].shape[0]
    hidden, states = scan(
        weights.step,
        project(in_order(sequences, go_backwards), weights.kernel, weights.bias),
        tuple(_for_each_row(state, sequences, units) for state in states),
        weights.recurrent,
        None if mask is None else in_order(mask, go_backwards),
        return_sequences=return_sequences,
        training=training,
    )
    if hidden is not None:
        hidden = tf.transpose(hidden, (1, 0, 2))
        hidden.set_shape((None, sequences.shape[1], None))  # arrays forget how many they are
    return hidden, states


def layer_reference(
    cell: Literal["lstm", "gru"],
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    go_backwards: bool,
) -> Tensors:
    """Computes what `kernels.recurrent.recurrent_layer` does, in one tuple without `None`."""
    hidden, states = run_loop(
        kernel_loop_weights(cell, weights),
        tf.cast(sequences, tf.float32),
        states,
        mask,
        return_sequences=return_sequences,
        go_backwards=go_backwards,
        training=False,
    )
    return states if hidden is None else (tf.cast(hidden, sequences.dtype), *states)


def both_directions_reference(
    cell: Literal["lstm", "gru"],
    sequences: tf.Tensor,
    weights: Tensors,
    back_weights: Tensors,
    mask: tf.Tensor,
) -> Tensors:
    """Computes what `kernels.recurrent.both_directions` does, in one flat tuple."""
    units = weights[1].shape[0]
    zeros = tf.zeros((tf.shape(sequences)[0], units))
    states = (zeros, zeros)[: 2 if cell == "lstm" else 1]
    (h, *ends), (back_h, *back_ends) = (
        layer_reference(
            cell, sequences, of, states, mask, return_sequences=True, go_backwards=backwards
        )
        for of, backwards in ((weights, False), (back_weights, True))
    )
    return tf.concat([h, tf.reverse(back_h, [1])], axis=-1), *ends, *back_ends


def project(sequences: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """Multiplies all steps by the kernel at once.

    Args:
        sequences: `(time, batch, features)`.
        kernel: `(features, gates * units)`.
        bias: `(gates * units,)` or `None`.

    Returns:
        `(time, batch, gates * units)`.
    """
    time, batch, features = keras.ops.shape(sequences)
    projected = tf.matmul(tf.reshape(sequences, (-1, features)), kernel)
    if bias is not None:
        projected += bias  # not bias_add: its gradient sums bfloat16 in bfloat16, and sticks at 512
    return tf.reshape(projected, (time, batch, kernel.shape[-1]))


def in_order(sequences: tf.Tensor, go_backwards: bool) -> tf.Tensor:
    """Returns `(batch, time, ...)` as `(time, batch, ...)` in the order of the loop."""
    axes = [1, 0, *range(2, len(sequences.shape))]
    sequences = tf.transpose(sequences, axes)
    return tf.reverse(sequences, [0]) if go_backwards else sequences


def _for_each_row(state: tf.Tensor, sequences: tf.Tensor, units: int) -> tf.Tensor:
    """Returns a state, `(batch, units)`, of which there may be one for all rows."""
    if sequences.shape[0] is not None and state.shape == (sequences.shape[0], units):
        return state
    state = tf.ensure_shape(state, (None, units))
    return tf.broadcast_to(state, (tf.shape(sequences)[0], units))
