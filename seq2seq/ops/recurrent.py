"""LSTM and GRU over time: chooses between the compiled kernel and the loop of TensorFlow.

The equations of a step are in `recurrent_cells`.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.dispatch import export_runtime, state_dtype, steps_usable, usable
from seq2seq.ops.plain_recurrence import PlainLayer
from seq2seq.ops.recurrent_cells import GRUResetBeforeStep, GRUStep, LSTMStep
from seq2seq.ops.recurrent_kernels import packed_step, whole_layer
from seq2seq.ops.recurrent_loop import (
    LoopWeights,
    for_each_row,
    forward_loop,
    layer_loop,
    project,
    time_first,
)
from seq2seq.ops.recurrent_node import recurrent_node
from seq2seq.private_api import asks_for_shapes, stored_value

Cell = Literal["lstm", "gru", "gru_reset_before"]
"""`lstm` has gates i, f, g, o; `gru` resets after the product, as cuDNN does, `gru_reset_before`
before it (Cho et al., 2014): gates z, r and the candidate."""


class Weights(NamedTuple):
    """The weights of a layer in Keras' layout: variables, or tensors."""

    kernel: Any
    """`(features, gates * units)`."""
    recurrent_kernel: Any
    """`(units, gates * units)`."""
    bias: Any | None
    """`(gates * units,)`, of a `gru` `(2, gates * units)`; or `None`."""


def recurrent(
    cell: Cell,
    sequences: tf.Tensor,
    weights: Weights,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    go_backwards: bool,
    training: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer over time.

    It is one compiled kernel for the whole sequence; in a search's step, one of packed weights; in
    a graph for ONNX, one node; elsewhere a loop of TensorFlow's operations. With bfloat16 sequences
    the operands of products are rounded to bfloat16; all else is float32.

    Args:
        cell: The equations.
        sequences: `(batch, time, features)`, in the compute dtype.
        weights: The weights.
        states: The initial `(h, c)` or `(h,)`, `(batch, units)` each; or `(1, units)`, the same for
            all rows.
        mask: Booleans, `(batch, time)` or `(1, time)`; a row keeps its states where it is false.
            `None` if no step of any row is masked.
        return_sequences: Whether `h` after every step is wanted.
        go_backwards: Whether to start at the last step.
        training: Whether a gradient is wanted. Without it there is one, but slower.

    Returns:
        `h` after every step in the order in which they were made, `(batch, time, units)`, or `None`
        if not wanted; and the last states.
    """
    if asks_for_shapes():
        return _results_of_right_shape(sequences, weights, states, return_sequences)
    options: Any = {"return_sequences": return_sequences, "go_backwards": go_backwards}
    has_kernel, one_step = cell != "gru_reset_before", sequences.shape[1] == 1 and mask is None
    if has_kernel and one_step and steps_usable(sequences.dtype):
        operands = kernel_operands(cell, weights)
        states = packed_step(cell, sequences[:, 0], weights[:2], operands, states)
        return (states[0][:, tf.newaxis] if return_sequences else None), states
    states = tuple(tf.cast(state, state_dtype(sequences.dtype)) for state in states)
    if has_kernel and usable(sequences.dtype, training):
        reference = partial(layer_reference, cell, **options)
        operands = kernel_operands(cell, weights)
        return whole_layer(cell, sequences, operands, states, mask, reference=reference, **options)
    operands = _operands(cell, weights, sequences.dtype)
    if export_runtime() == "onnx" and sequences.shape[1] != 1:
        units = operands[1].shape[0]
        states = tuple(for_each_row(state, sequences, units) for state in states)
        return recurrent_node(cell, sequences, operands, states, mask, **options)
    loop_weights = _loop_weights(cell, operands)
    return layer_loop(loop_weights, sequences, states, mask, training=training, **options)


def _results_of_right_shape(
    sequences: tf.Tensor, weights: Weights, states: Tensors, return_sequences: bool
) -> tuple[tf.Tensor | None, Tensors]:
    """Returns tensors with the shapes and dtypes of the results of `recurrent`, without values."""
    batch, time, _ = sequences.shape
    units, placeholder = weights.recurrent_kernel.shape[0], tf.compat.v1.placeholder
    hidden = placeholder(sequences.dtype, (batch, time, units)) if return_sequences else None
    dtype = state_dtype(sequences.dtype)
    return hidden, tuple(placeholder(dtype, (batch, units)) for _ in states)


def recurrent_states(
    cell: Cell,
    sequences: tf.Tensor,
    weights: Weights,
    states: Tensors,
    mask: tf.Tensor | None,
    go_backwards: bool,
) -> dict[str, tf.Tensor]:
    """Runs a layer over time for the states and gates of every step; arguments as in `recurrent`.

    Returns:
        `hidden`, `cell` if there is one, and the gates by the names in `Step.gates`: `(batch, time,
        units)` each, at the places of the inputs.
    """
    loop = _loop_weights(cell, _operands(cell, weights, sequences.dtype))
    states = tuple(tf.cast(state, state_dtype(sequences.dtype)) for state in states)
    mask = None if mask is None else time_first(mask, go_backwards)
    projected = project(loop, time_first(sequences, go_backwards))
    arrays, _ = forward_loop(
        loop.step, projected, states, loop.recurrent, mask, histories=len(states), save=True
    )
    histories, saved = arrays[: len(states)], arrays[len(states) :]
    results = {name: h.stack()[1:] for name, h in zip(("hidden", "cell"), histories, strict=False)}
    results |= {name: saved[i].stack() for name, i in loop.step.gates.items()}
    return {
        name: tf.transpose(tf.reverse(values, [0]) if go_backwards else values, (1, 0, 2))
        for name, values in results.items()
    }


def layer_reference(
    cell: Cell,
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    **options: bool,
) -> Tensors:
    """Computes what the kernel does by TensorFlow's operations, in one tuple without `None`."""
    loop_weights = _loop_weights(cell, weights)
    inputs = tf.cast(sequences, tf.float32)
    hidden, states = layer_loop(loop_weights, inputs, states, mask, training=False, **options)
    return states if hidden is None else (tf.cast(hidden, sequences.dtype), *states)


def plain_layer(cell: Cell, sequences: tf.Tensor, weights: Weights) -> PlainLayer:
    """Returns a layer for `plain_recurrence`, from the arguments of `recurrent`."""
    loop = _loop_weights(cell, _operands(cell, weights, sequences.dtype))
    projected = tf.tensordot(sequences, loop.kernel, 1)

    def step(projected: tf.Tensor, states: Tensors) -> tuple[Tensors, dict[str, tf.Tensor]]:
        after, saved = loop.step.forward(projected, states, loop.recurrent)
        return after, {name: saved[place] for name, place in loop.step.gates.items()}

    return PlainLayer(projected if loop.bias is None else projected + loop.bias, step)


def _operands(cell: Cell, weights: Weights, dtype: tf.DType) -> Tensors:
    """Returns kernel, recurrent kernel and, if there are any, one bias or the two of a `gru`."""
    kernel, recurrent_kernel = (tf.cast(stored_value(weight), dtype) for weight in weights[:2])
    if weights.bias is None:
        return kernel, recurrent_kernel
    bias = tf.cast(stored_value(weights.bias), dtype)
    return kernel, recurrent_kernel, *(tf.unstack(bias) if cell == "gru" else (bias,))


def kernel_operands(cell: Cell, weights: Weights) -> Tensors:
    """Returns the weights as compiled kernels take them: in float32, with a bias."""
    operands = _operands(cell, weights, tf.float32)
    return operands if len(operands) > 2 else (*operands, tf.zeros(operands[0].shape[-1]))


def _loop_weights(cell: Cell, operands: Tensors) -> LoopWeights:
    """Returns the weights as loops take them, from `_operands`."""
    kernel, recurrent_kernel, *biases = operands
    bias = biases[0] if biases else None
    if cell == "lstm":
        return LoopWeights(LSTMStep(), kernel, bias, (recurrent_kernel,))
    units = recurrent_kernel.shape[0]
    if cell == "gru_reset_before":
        recurrent_kernels = tuple(tf.split(recurrent_kernel, [2 * units, units], axis=1))
        return LoopWeights(GRUResetBeforeStep(), kernel, bias, recurrent_kernels)
    candidate_bias = tf.zeros(units, kernel.dtype)
    if len(biases) > 1:
        gates_bias, candidate_bias = tf.split(biases[1], [2 * units, units])
        bias += tf.pad(gates_bias, [[0, units]])
    return LoopWeights(GRUStep(), kernel, bias, (recurrent_kernel, candidate_bias))
