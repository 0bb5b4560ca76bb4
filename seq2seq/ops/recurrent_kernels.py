"""Compiled kernels of recurrent layers: a whole sequence forward and back, and a search's step."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import packed_weights


def whole_layer(
    cell: str,
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    reference: Callable[..., Tensors],
    return_sequences: bool,
    go_backwards: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer over time; arguments and results, where not named here, as in `recurrent`.

    Args:
        cell: `lstm` or `gru`.
        sequences: Float32 or bfloat16.
        weights: Kernel, recurrent kernel, bias and, for a `gru`, recurrent bias, `(gates * units,)`
            each; float32.
        states: Float32.
        mask: See `recurrent`.
        reference: Computes the results of this function, in one tuple without `None`, from
            sequences, weights, states and mask, by TensorFlow's operations.
        return_sequences: See `recurrent`.
        go_backwards: See `recurrent`.
    """
    count, end = len(weights), len(weights) + len(states)

    def run(sequences: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
        weights, states = operands[:count], operands[count:]
        return _layer(cell, sequences, weights, states, mask, return_sequences, go_backwards)

    def by_reference(sequences: tf.Tensor, *operands: tf.Tensor) -> Tensors:
        own_mask = None if mask is None else operands[end]
        return reference(sequences, operands[:count], operands[count:end], own_mask)

    constants = () if mask is None else (mask,)
    results = differentiable(run, by_reference, constants)(sequences, *weights, *states)
    return (results[0] if return_sequences else None), results[-len(states) :]


def _layer(
    cell: str,
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    return_sequences: bool,
    go_backwards: bool,
) -> tuple[Tensors, Gradient]:
    """Returns the results of a layer and their gradient, see `whole_layer`."""
    kernel, recurrent_kernel, *biases = weights
    operands = {
        "x": sequences,
        "kernel": kernel,
        "recurrent": recurrent_kernel,
        "h_before": states[0],
        "second_before": states[-1],
        "mask": tf.zeros((0, 0), tf.bool) if mask is None else mask,
        "go_backwards": go_backwards,
    }
    outputs = getattr(library(), f"seq2seq_{cell}_forward")(
        **operands, bias=biases[0], recurrent_bias=biases[1] if len(biases) > 1 else tf.zeros(0)
    )
    units = recurrent_kernel.shape[0]
    h = outputs.h if sequences.dtype == tf.float32 else outputs.rounded_h
    h.set_shape((*sequences.shape[:2], units))
    last_states = (outputs.last_h, outputs.last_second)[: len(states)]
    for state in last_states:
        state.set_shape((sequences.shape[0], units))

    def gradient(*d_results: tf.Tensor) -> list[tf.Tensor]:
        d_last = d_results[-len(states) :]
        d_x, d_kernel, d_recurrent, *d_biases, d_h, d_second, _, _ = getattr(
            library(), f"seq2seq_{cell}_backward"
        )(
            **operands,
            h=outputs.h,
            second=outputs.second,
            gates=outputs.gates,
            d_sequence=unless_zeros(d_results[0]) if return_sequences else _empty(sequences.dtype),
            d_last_h=d_last[0],
            d_last_second=d_last[-1],
        )
        d_weights = [d_kernel, d_recurrent, *d_biases][: len(weights)]
        d_states = [d_h, d_second][: len(states)]
        pairs = zip([d_x, *d_weights, *d_states], (sequences, *weights, *states), strict=True)
        return [like(d, operand) for d, operand in pairs]

    return ((h, *last_states) if return_sequences else tuple(last_states)), gradient


def packed_step(
    cell: str, x: tf.Tensor, kernels: Sequence[Any], biases: Tensors, states: Tensors
) -> Tensors:
    """Advances a layer by one step with packed weights, where `steps_usable`.

    Args:
        cell: `lstm` or `gru`.
        x: `(rows, features)`, float32 or bfloat16.
        kernels: The kernel and the recurrent kernel, variables.
        biases: The bias and, for a `gru`, the recurrent bias, float32 `(gates * units,)` each.
        states: `(h, c)` or `(h,)`, `(rows, units)` each.

    Returns:
        The next states, of the type of `x`.
    """
    states = tuple(tf.cast(state, x.dtype) for state in states)
    gates = kernels[0].shape[-1] // kernels[1].shape[0]
    kernel, packed_kernel = packed_weights().pack(kernels[0], x, gates)
    recurrent, packed_recurrent = packed_weights().pack(kernels[1], x, gates)
    next_states = getattr(library(), f"seq2seq_{cell}_step")(
        x=x,
        h_before=states[0],
        second_before=states[-1],
        kernel=kernel,
        recurrent=recurrent,
        packed_kernel=packed_kernel,
        packed_recurrent=packed_recurrent,
        bias=biases[0],
        recurrent_bias=biases[1] if len(biases) > 1 else tf.zeros(0),
    )
    return tuple(
        tf.ensure_shape(after, state.shape)
        for after, state in zip(next_states, states, strict=False)
    )


def unless_zeros(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a sequence; an empty one, and no zeros to add, if it is not used."""
    unused = not tf.executing_eagerly() and gradient.op.type == "ZerosLike"
    return _empty(gradient.dtype) if unused else gradient


def _empty(dtype: tf.DType) -> tf.Tensor:
    return tf.zeros((0, 0, 0), dtype)


def like(gradient: tf.Tensor, operand: tf.Tensor) -> tf.Tensor:
    """Returns a gradient with the type and the static shape of its operand."""
    return tf.ensure_shape(tf.cast(gradient, operand.dtype), operand.shape)
