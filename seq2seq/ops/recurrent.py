"""LSTM and GRU over time: the operation, and the equations of a step, forward and back.

States, gates and their gradients are float32 (float64 in a float64 model) whatever the compute
dtype; only the products are in the compute dtype. So a bfloat16 model does not round its state at
every step.
"""

from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import tensorflow as tf

from seq2seq.ops.differentiable import Tensors
from seq2seq.ops.dispatch import state_dtype, steps_usable, usable
from seq2seq.ops.recurrent_kernels import packed_step, whole_layer
from seq2seq.ops.recurrent_loop import (
    LoopWeights,
    Results,
    Step,
    TensorArrays,
    forward_loop,
    layer_loop,
    project,
    time_first,
)
from seq2seq.private_api import stored_value

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

    It is one compiled kernel for the whole sequence; in a search's step, one of packed weights;
    elsewhere a loop of TensorFlow's operations. With bfloat16 sequences the operands of products
    are rounded to bfloat16; all else is float32.

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
    loop_weights = _loop_weights(cell, _operands(cell, weights, sequences.dtype))
    return layer_loop(loop_weights, sequences, states, mask, training=training, **options)


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


class LSTMStep(Step):
    """LSTM (Hochreiter & Schmidhuber, 1997; Gers et al., 2000): weights `(recurrent_kernel,)`.

    `projected` is `x W + b`. With `i, f, g, o` the four parts of `projected + h U`:
    `c' = sigmoid(f) * c + sigmoid(i) * tanh(g)` and `h' = sigmoid(o) * tanh(c')`.
    """

    saved_count = 5
    preactivation_count = 1
    gates: ClassVar = {"input_gate": 0, "forget_gate": 1, "candidate": 2, "output_gate": 3}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        h, c = states
        i, f, g, o = tf.split(projected + _product(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        d_h, d_c = d_states
        i, f, g, o, tanh_c = saved
        d_c += _tanh_gradient(d_h * o, tanh_c)
        d_i = _sigmoid_gradient(d_c * g, i)
        d_f = _sigmoid_gradient(d_c * previous[1], f)
        d_g = _tanh_gradient(d_c * i, g)
        d_o = _sigmoid_gradient(d_h * tanh_c, o)
        d_z = tf.concat([d_i, d_f, d_g, d_o], axis=-1)
        return (_product(d_z, transposed[0]), d_c * f), (d_z,)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        return (_product_over_steps(previous_h, d_preactivations[0]),)


class GRUStep(Step):
    """GRU that resets after the product: state `(h,)`, weights `(recurrent_kernel, bias)`.

    `z = sigmoid(x_z + h U_z)`, `r = sigmoid(x_r + h U_r)`, `n = tanh(x_h + r * (h U_h + b_h))` and
    `h' = n + z * (h - n)`. `bias`, `(units,)`, is `b_h`; those of z and r are in `projected`.
    """

    saved_count = 4
    preactivation_count = 2
    gates: ClassVar = {"update_gate": 0, "reset_gate": 1, "candidate": 2}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        (h,) = states
        recurrent_kernel, bias = weights
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r, inner_h = tf.split(_product(h, recurrent_kernel), 3, axis=-1)
        inner_h += tf.cast(bias, h.dtype)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        candidate = tf.tanh(x_h + r * inner_h)
        return (candidate + z * (h - candidate),), (z, r, candidate, inner_h)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        z, r, candidate, inner_h = saved
        d_h_direct = d_h * z
        d_candidate = _tanh_gradient(d_h - d_h_direct, candidate)
        d_z = _sigmoid_gradient(d_h * (h - candidate), z)
        d_r = _sigmoid_gradient(d_candidate * inner_h, r)
        d_inner = tf.concat([d_z, d_r, d_candidate * r], axis=-1)
        d_projected = tf.concat([d_z, d_r, d_candidate], axis=-1)
        return (d_h_direct + _product(d_inner, transposed[0]),), (d_projected, d_inner)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        d_inner = d_preactivations[1]
        d_inner_h = d_inner[..., -previous_h.shape[-1] :]
        return _product_over_steps(previous_h, d_inner), tf.reduce_sum(d_inner_h, axis=(0, 1))


class GRUResetBeforeStep(Step):
    """GRU that resets before the product: `n = tanh(x_h + (r * h) U_h)`, all else as in `GRUStep`.

    Its weights are the recurrent kernel of z and r, and that of the candidate.
    """

    saved_count = 4
    preactivation_count = 1
    gates: ClassVar = {"update_gate": 1, "reset_gate": 2, "candidate": 3}

    def forward(self, projected: tf.Tensor, states: Tensors, weights: Tensors) -> Results:
        """See `Step.forward`."""
        (h,) = states
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r = tf.split(_product(h, weights[0]), 2, axis=-1)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        reset_h = r * h
        candidate = tf.tanh(x_h + _product(reset_h, weights[1]))
        return (candidate + z * (h - candidate),), (reset_h, z, r, candidate)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> Results:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        _, z, r, candidate = saved
        d_h_direct = d_h * z
        d_candidate = _tanh_gradient(d_h - d_h_direct, candidate)
        d_reset_h = _product(d_candidate, transposed[1])
        d_z = _sigmoid_gradient(d_h * (h - candidate), z)
        d_r = _sigmoid_gradient(d_reset_h * h, r)
        d_zr = tf.concat([d_z, d_r], axis=-1)
        d_previous = d_h_direct + d_reset_h * r + _product(d_zr, transposed[0])
        return (d_previous,), (tf.concat([d_zr, d_candidate], axis=-1),)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        units = previous_h.shape[-1]
        d_zr, d_candidate = tf.split(d_preactivations[0], [2 * units, units], axis=-1)
        reset_h = tf.cast(saved[0].stack(), previous_h.dtype)
        return _product_over_steps(previous_h, d_zr), _product_over_steps(reset_h, d_candidate)


def _sigmoid_gradient(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a sigmoid's input from that of its output."""
    return tf.raw_ops.SigmoidGrad(y=output, dy=d_output)


def _tanh_gradient(d_output: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a tanh's input from that of its output."""
    return tf.raw_ops.TanhGrad(y=output, dy=d_output)


def _product(rows: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Multiplies in the dtype of `weight`, `(inputs, outputs)`, and returns the dtype of `rows`."""
    return tf.cast(tf.matmul(tf.cast(rows, weight.dtype), weight), rows.dtype)


def _product_over_steps(operand: tf.Tensor, d_product: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a weight, `(inputs, outputs)`, summed over all steps and rows.

    The weight was multiplied with `operand`, `(time, batch, inputs)`.
    """
    rows = tf.reshape(operand, (-1, operand.shape[-1]))
    d_rows = tf.reshape(d_product, (-1, d_product.shape[-1]))
    return tf.matmul(rows, d_rows, transpose_a=True)
