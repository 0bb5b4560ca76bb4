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
    """Runs a layer, `lstm` or `gru`, over time; arguments and results as in `recurrent`.

    Weights, in float32, are kernel, recurrent kernel, bias and, of a `gru`, recurrent bias. The
    `reference` computes the results, in one tuple without `None`, by TensorFlow's operations.
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
    matrices, biases = named(weights)
    operands = {
        **matrices,
        "x": sequences,
        "h_before": states[0],
        "second_before": states[-1],
        "mask": tf.zeros((0, 0), tf.bool) if mask is None else mask,
        "go_backwards": go_backwards,
    }
    outputs = getattr(library(), f"seq2seq_{cell}_forward")(**operands, **biases)
    units = weights[1].shape[0]
    h = outputs.h if sequences.dtype == tf.float32 else outputs.rounded_h
    h.set_shape((*sequences.shape[:2], units))
    last_states = (outputs.last_h, outputs.last_second)[: len(states)]
    for state in last_states:
        state.set_shape((sequences.shape[0], units))

    def gradient(*d_results: tf.Tensor) -> Tensors:
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
        return like((d_x, *d_weights, *d_states), (sequences, *weights, *states))

    return ((h, *last_states) if return_sequences else tuple(last_states)), gradient


def packed_step(
    cell: str, x: tf.Tensor, variables: Sequence[Any], weights: Tensors, states: Tensors
) -> Tensors:
    """Advances a layer by one step with packed weights, where `steps_usable`.

    Maps `(rows, features)` and states `(rows, units)` to the next states, all of the type of `x`.
    The variables are kernel and recurrent kernel; weights are as in `whole_layer`.
    """
    states = tuple(tf.cast(state, x.dtype) for state in states)
    matrices, biases = named(weights)
    gates = weights[0].shape[1] // weights[1].shape[0]
    packed = [
        packed_weights().pack(variable, matrix, x, gates)
        for variable, matrix in zip(variables, weights[:2], strict=True)
    ]
    next_states = getattr(library(), f"seq2seq_{cell}_step")(
        x=x,
        h_before=states[0],
        second_before=states[-1],
        packed_kernel=packed[0],
        packed_recurrent=packed[1],
        **matrices,
        **biases,
    )
    pairs = zip(next_states, states, strict=False)
    return tuple(tf.ensure_shape(after, state.shape) for after, state in pairs)


def unless_zeros(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a sequence; an empty one, and no zeros to add, if it is not used."""
    unused = not tf.executing_eagerly() and gradient.op.type == "ZerosLike"
    return _empty(gradient.dtype) if unused else gradient


def _empty(dtype: tf.DType) -> tf.Tensor:
    return tf.zeros((0, 0, 0), dtype)


def like(gradients: Tensors, operands: Tensors) -> Tensors:
    """Returns gradients with the types and the static shapes of their operands."""
    pairs = zip(gradients, operands, strict=True)
    return tuple(tf.ensure_shape(tf.cast(d, x.dtype), x.shape) for d, x in pairs)


def named(weights: Tensors, prefix: str = "") -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns matrices and biases by the names of a kernel's inputs."""
    kernel, recurrent, bias, *recurrent_bias = weights
    second = recurrent_bias[0] if recurrent_bias else tf.zeros(0)
    matrices = {f"{prefix}kernel": kernel, f"{prefix}recurrent": recurrent}
    return matrices, {f"{prefix}bias": bias, f"{prefix}recurrent_bias": second}
