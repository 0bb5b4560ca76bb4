"""Two recurrent layers over the same input, the second from its end, as one operation."""

from typing import Any

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import usable
from seq2seq.ops.recurrent import (
    Cell,
    Weights,
    kernel_operands,
    layer_reference,
    recurrent,
)
from seq2seq.ops.recurrent_kernels import like, named, unless_zeros


def both_directions(
    cell: Cell,
    sequences: tf.Tensor,
    weights: Weights,
    back_weights: Weights,
    mask: tf.Tensor,
    training: bool,
) -> tuple[tf.Tensor, Tensors, Tensors]:
    """Runs two equally wide layers from states of zeros, the second from right to left.

    Arguments are as in `recurrent`, but there must be a mask. In the kernel each layer has half of
    the threads to itself.

    Returns:
        `h` of both after every step, in the order of the input, `(batch, time, 2 * units)`; and the
        last states of each.
    """
    units = weights.recurrent_kernel.shape[0]
    if cell != "gru_reset_before" and usable(sequences.dtype, training):
        own, back = kernel_operands(cell, weights), kernel_operands(cell, back_weights)
        count = len(own)

        def run(sequences: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
            return _run(cell, sequences, operands[:count], operands[count:], mask)

        def reference(sequences: tf.Tensor, *operands: tf.Tensor) -> Tensors:
            return _reference(cell, sequences, operands[:count], operands[count:-1], operands[-1])

        h, *ends = differentiable(run, reference, (mask,))(sequences, *own, *back)
        return h, tuple(ends[: len(ends) // 2]), tuple(ends[len(ends) // 2 :])
    states = _zero_states(cell, sequences, units)
    options: Any = {"return_sequences": True, "training": training}
    h, last = recurrent(cell, sequences, weights, states, mask, go_backwards=False, **options)
    back_h, back_last = recurrent(
        cell, sequences, back_weights, states, mask, go_backwards=True, **options
    )
    return tf.concat([h, tf.reverse(back_h, [1])], axis=-1), last, back_last


def _zero_states(cell: Cell, sequences: tf.Tensor, units: int) -> Tensors:
    return (tf.zeros((tf.shape(sequences)[0], units)),) * (2 if cell == "lstm" else 1)


def _reference(
    cell: Cell, sequences: tf.Tensor, weights: Tensors, back_weights: Tensors, mask: tf.Tensor
) -> Tensors:
    """Computes what `_run` does by TensorFlow's operations."""
    states = _zero_states(cell, sequences, weights[1].shape[0])
    (h, *ends), (back_h, *back_ends) = (
        layer_reference(
            cell, sequences, own, states, mask, return_sequences=True, go_backwards=backwards
        )
        for own, backwards in ((weights, False), (back_weights, True))
    )
    return tf.concat([h, tf.reverse(back_h, [1])], axis=-1), *ends, *back_ends


def _run(
    cell: Cell, sequences: tf.Tensor, weights: Tensors, back_weights: Tensors, mask: tf.Tensor
) -> tuple[Tensors, Gradient]:
    """Returns the kernel's results, `h` and the last states of both, and their gradient."""
    (own, biases), (back, back_biases) = named(weights), named(back_weights, "back_")
    operands = {"x": sequences, "mask": mask, **own, **back}
    forward = getattr(library(), f"seq2seq_{cell}_both_forward")
    outputs = forward(**operands, **biases, **back_biases)
    count, units = (2 if cell == "lstm" else 1), weights[1].shape[0]
    h = outputs.h if sequences.dtype == tf.float32 else outputs.rounded_h
    h.set_shape((*sequences.shape[:2], 2 * units))
    ends = (outputs.last_h, outputs.last_second)[:count]
    ends += (outputs.back_last_h, outputs.back_last_second)[:count]
    for end in ends:
        end.set_shape((sequences.shape[0], units))

    def gradient(d_h: tf.Tensor, *d_ends: tf.Tensor) -> Tensors:
        d = getattr(library(), f"seq2seq_{cell}_both_backward")(
            **operands,
            h=outputs.h,
            d_h=unless_zeros(d_h),
            second=outputs.second,
            d_last_h=d_ends[0],
            d_last_second=d_ends[count - 1],
            gates=outputs.gates,
            back_second=outputs.back_second,
            back_d_last_h=d_ends[count],
            back_d_last_second=d_ends[-1],
            back_gates=outputs.back_gates,
        )
        d_weights = (d.d_kernel, d.d_recurrent, d.d_bias, d.d_recurrent_bias)[: len(weights)]
        d_back = (d.back_d_kernel, d.back_d_recurrent, d.back_d_bias, d.back_d_recurrent_bias)
        gradients = (d.d_x, *d_weights, *d_back[: len(back_weights)])
        return like(gradients, (sequences, *weights, *back_weights))

    return (h, *ends), gradient
