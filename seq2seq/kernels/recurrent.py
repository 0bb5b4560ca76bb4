"""A whole LSTM or GRU layer as one operation forward and one back."""

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from seq2seq.kernels.derivatives import Gradient, Tensors, differentiable
from seq2seq.kernels.library import library


def recurrent_layer(
    cell: Literal["lstm", "gru"],
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    reference: Callable[..., Tensors],
    return_sequences: bool,
    go_backwards: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer with Keras' weights over time.

    With bfloat16 sequences products are made of values that are rounded to bfloat16, where this
    processor gains by it; they are added up, and all else is done, in float32.

    Args:
        cell: `lstm` with gates i, f, g, o; or `gru`, which resets after the product, with gates
            z, r and the candidate.
        sequences: `(batch, time, features)`, float32 or bfloat16.
        weights: The kernel, `(features, gates * units)`; the recurrent kernel, `(units, gates *
            units)`; the bias and, for a `gru`, the recurrent bias, `(gates * units,)` each. All
            are float32.
        states: The initial `(h, c)` or `(h,)`, float32 `(batch, units)` each; or `(1, units)`, the
            same for all rows.
        mask: Booleans, `(batch, time)` or `(1, time)`; a row keeps its states where it is false.
            `None` if no step of any row is masked.
        reference: Computes the results of this function, in one tuple without `None`, from
            sequences, weights, states and mask, by TensorFlow's operations: what higher
            derivatives are made of.
        return_sequences: Whether `h` after every step is wanted.
        go_backwards: Whether to start at the last step.

    Returns:
        `h` after every step in the order in which they were made, `(batch, time, units)`, of the
        type of the input, or `None` if not wanted; and the last states, float32.
    """
    count, end = len(weights), len(weights) + len(states)

    def run(sequences: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
        return _run(
            cell,
            sequences,
            operands[:count],
            operands[count:],
            mask,
            return_sequences,
            go_backwards,
        )

    def by_reference(sequences: tf.Tensor, *operands: tf.Tensor) -> Tensors:
        given_mask = None if mask is None else operands[end]
        return reference(sequences, operands[:count], operands[count:end], given_mask)

    constants = () if mask is None else (mask,)
    results = differentiable(run, by_reference, constants)(sequences, *weights, *states)
    return (results[0] if return_sequences else None), results[-len(states) :]


def _run(
    cell: str,
    sequences: tf.Tensor,
    weights: Tensors,
    states: Tensors,
    mask: tf.Tensor | None,
    return_sequences: bool,
    go_backwards: bool,
) -> tuple[Tensors, Gradient]:
    """Returns the results of a layer and their gradient, see `recurrent_layer`."""
    forward = getattr(library(), f"seq2seq_{cell}_forward")
    backward = getattr(library(), f"seq2seq_{cell}_backward")
    kernel, recurrent_kernel, *biases = weights
    given = {
        "x": sequences,
        "kernel": kernel,
        "recurrent": recurrent_kernel,
        "h_before": states[0],
        "second_before": states[-1],
        "mask": tf.zeros((0, 0), tf.bool) if mask is None else mask,
        "go_backwards": go_backwards,
    }
    found = forward(
        **given,
        bias=biases[0],
        recurrent_bias=biases[1] if len(biases) > 1 else tf.zeros(0),
    )
    units = recurrent_kernel.shape[0]
    h = _typed(found, sequences.dtype)
    h.set_shape((*sequences.shape[:2], units))
    last_states = (found.last_h, found.last_second)[: len(states)]
    for last in last_states:
        last.set_shape((sequences.shape[0], units))

    def gradient(*d_results: tf.Tensor) -> list[tf.Tensor]:
        d_last = d_results[-len(states) :]
        d_x, d_kernel, d_recurrent, *d_biases, d_h, d_second, _, _ = backward(
            **given,
            h=found.h,
            second=found.second,
            gates=found.gates,
            d_sequence=(
                _unless_zeros(d_results[0]) if return_sequences else _nothing(sequences.dtype)
            ),
            d_last_h=d_last[0],
            d_last_second=d_last[-1],
        )
        d_weights = [d_kernel, d_recurrent, *d_biases][: len(weights)]
        d_states = [d_h, d_second][: len(states)]
        pairs = zip([d_x, *d_weights, *d_states], (sequences, *weights, *states), strict=True)
        return [_like(d, operand) for d, operand in pairs]

    return ((h, *last_states) if return_sequences else tuple(last_states)), gradient


def both_directions(
    cell: Literal["lstm", "gru"],
    sequences: tf.Tensor,
    weights: Tensors,
    back_weights: Tensors,
    mask: tf.Tensor,
    *,
    reference: Callable[..., Tensors],
) -> tuple[tf.Tensor, Tensors, Tensors]:
    """Runs two layers over the same input, the second from its end, both from states of zeros.

    Each has half of the threads to itself, which need not wait for the others at every step.

    Args:
        cell: See `recurrent_layer`.
        sequences: See there.
        weights: Of the first layer, see there.
        back_weights: Of the second one.
        mask: Booleans, `(batch, time)`, see there.
        reference: Computes the results of this function, in one flat tuple, from sequences,
            both weights and mask, by TensorFlow's operations.

    Returns:
        `h` of both after every step, in the order of the input, `(batch, time, 2 * units)`, of its
        type; and the last states of each, float32.
    """
    count = len(weights)

    def run(sequences: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
        return _run_both(cell, sequences, operands[:count], operands[count:], mask)

    def by_reference(sequences: tf.Tensor, *operands: tf.Tensor) -> Tensors:
        return reference(sequences, operands[:count], operands[count:-1], operands[-1])

    run_both = differentiable(run, by_reference, (mask,))
    h, *ends = run_both(sequences, *weights, *back_weights)
    states = len(ends) // 2
    return h, tuple(ends[:states]), tuple(ends[states:])


def _run_both(
    cell: str, sequences: tf.Tensor, weights: Tensors, back_weights: Tensors, mask: tf.Tensor
) -> tuple[Tensors, Gradient]:
    """Returns the results of two layers and their gradient, see `both_directions`."""
    forward = getattr(library(), f"seq2seq_{cell}_both_forward")
    backward = getattr(library(), f"seq2seq_{cell}_both_backward")
    kernel, recurrent_kernel, *biases = weights
    back_kernel, back_recurrent_kernel, *back_biases = back_weights
    given = {
        "x": sequences,
        "mask": mask,
        "kernel": kernel,
        "recurrent": recurrent_kernel,
        "back_kernel": back_kernel,
        "back_recurrent": back_recurrent_kernel,
    }
    found = forward(
        **given,
        bias=biases[0],
        recurrent_bias=biases[1] if len(biases) > 1 else tf.zeros(0),
        back_bias=back_biases[0],
        back_recurrent_bias=back_biases[1] if len(back_biases) > 1 else tf.zeros(0),
    )
    states = 2 if cell == "lstm" else 1
    units = recurrent_kernel.shape[0]
    h = _typed(found, sequences.dtype)
    h.set_shape((*sequences.shape[:2], 2 * units))
    ends = (found.last_h, found.last_second)[:states]
    ends += (found.back_last_h, found.back_last_second)[:states]
    for end in ends:
        end.set_shape((sequences.shape[0], units))

    def gradient(d_h: tf.Tensor, *d_ends: tf.Tensor) -> list[tf.Tensor]:
        d_first, d_second = d_ends[:states], d_ends[states:]
        d = backward(
            **given,
            h=found.h,
            d_h=_unless_zeros(d_h),
            second=found.second,
            d_last_h=d_first[0],
            d_last_second=d_first[-1],
            gates=found.gates,
            back_second=found.back_second,
            back_d_last_h=d_second[0],
            back_d_last_second=d_second[-1],
            back_gates=found.back_gates,
        )
        d_weights = (d.d_kernel, d.d_recurrent, d.d_bias, d.d_recurrent_bias)[: len(weights)]
        d_back = (d.back_d_kernel, d.back_d_recurrent, d.back_d_bias, d.back_d_recurrent_bias)
        found_gradients = (d.d_x, *d_weights, *d_back[: len(back_weights)])
        pairs = zip(found_gradients, (sequences, *weights, *back_weights), strict=True)
        return [_like(gradient, operand) for gradient, operand in pairs]

    return (h, *ends), gradient


def _typed(found: Any, dtype: tf.DType) -> tf.Tensor:
    """Returns `h` of every step in the type of the input."""
    return found.h if dtype == tf.float32 else found.rounded_h


def _unless_zeros(gradient: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a sequence; an empty one, and no zeros to add, if nobody used it."""
    unused = not tf.executing_eagerly() and gradient.op.type == "ZerosLike"
    return _nothing(gradient.dtype) if unused else gradient


def _nothing(dtype: tf.DType) -> tf.Tensor:
    return tf.zeros((0, 0, 0), dtype)


def _like(gradient: tf.Tensor, variable: tf.Tensor) -> tf.Tensor:
    """Returns a gradient with the type and the static shape of what it is the gradient of."""
    return tf.ensure_shape(tf.cast(gradient, variable.dtype), variable.shape)
