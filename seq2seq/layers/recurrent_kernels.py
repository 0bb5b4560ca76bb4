"""The maths of the recurrent layers: one compiled loop forward, one back.

Three things make it faster than a cell called at every step and differentiated by TensorFlow:

- the input has been multiplied by its kernel for all steps at once, before the loop;
- in training the forward loop saves, by reference, just what the gradient needs;
- the backward loop carries no gradient of a weight: it collects the gradients of the
  pre-activations, and one product over all steps makes the gradient of the weights from them.

Inside the loops time comes first: `(time, batch, ...)`. States, gates and their gradients are
float32 (float64 in a float64 model) whatever the compute dtype; only the products are in the
compute dtype. So a bfloat16 model does not round its state at every step.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]
TensorArrays = tuple[tf.TensorArray, ...]


class Step(Protocol):
    """One step of a recurrent network, and its gradient.

    The tensors of a step are `(batch, units)`, pre-activations `(batch, gates * units)` with 4
    gates in an LSTM and 3 in a GRU.
    """

    saved_count: int
    """How many tensors `forward` saves."""

    preactivation_count: int
    """How many gradients of pre-activations `backward` returns."""

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step on.

        Args:
            projected: The input times its kernel plus bias, `(batch, gates * units)`.
            states: The states before the step, `h` first.
            weights: The recurrent weights.

        Returns:
            The states after the step, and what `backward` needs beside the states before it.
        """
        ...

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """Goes one step back.

        Args:
            d_states: The gradients of the states after the step.
            previous: The states before the step.
            saved: What `forward` saved.
            transposed: The recurrent weights, transposed.

        Returns:
            The gradients of the states before the step, and those of the pre-activations, of which
            the first is the gradient of `projected`.
        """
        ...

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """Makes the gradients of the recurrent weights from all steps at once.

        Args:
            previous_h: `h` before every step, `(time, batch, units)`.
            saved: What `forward` saved at every step.
            d_preactivations: What `backward` returned at every step,
                `(time, batch, gates * units)`.

        Returns:
            The gradients, in the order and dtype of the weights.
        """
        ...


class LSTMStep:
    """LSTM: states `(h, c)`, gates i, f, g, o, weights `(recurrent_kernel,)`."""

    saved_count = 5
    preactivation_count = 1

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.forward`."""
        h, c = states
        i, f, g, o = tf.split(projected + _product(h, weights[0]), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return (o * tanh_c, c), (i, f, g, o, tanh_c)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        d_h, d_c = d_states
        i, f, g, o, tanh_c = saved
        d_c += d_h * o * (1 - tanh_c * tanh_c)
        d_z = tf.concat(
            [
                d_c * g * i * (1 - i),
                d_c * previous[1] * f * (1 - f),
                d_c * i * (1 - g * g),
                d_h * tanh_c * o * (1 - o),
            ],
            axis=-1,
        )
        return (_product(d_z, transposed[0]), d_c * f), (d_z,)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        return (_product_over_steps(previous_h, d_preactivations[0]),)


class GRUStep:
    """GRU that resets after the product: state `(h,)`, gates z, r, h, weights `(kernel, bias)`.

    The bias, `(units,)`, is the candidate's. That of z and r is a part of `projected`.
    """

    saved_count = 4
    preactivation_count = 2

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.forward`."""
        (h,) = states
        recurrent_kernel, bias = weights
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r, inner_h = tf.split(_product(h, recurrent_kernel), 3, axis=-1)
        inner_h += tf.cast(bias, h.dtype)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        candidate = tf.tanh(x_h + r * inner_h)
        return (z * h + (1 - z) * candidate,), (z, r, candidate, inner_h)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        (d_h,) = d_states
        z, r, candidate, inner_h = saved
        d_candidate = d_h * (1 - z) * (1 - candidate * candidate)
        d_z = d_h * (previous[0] - candidate) * z * (1 - z)
        d_r = d_candidate * inner_h * r * (1 - r)
        d_inner = tf.concat([d_z, d_r, d_candidate * r], axis=-1)
        d_projected = tf.concat([d_z, d_r, d_candidate], axis=-1)
        return (d_h * z + _product(d_inner, transposed[0]),), (d_projected, d_inner)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        d_inner = d_preactivations[1]
        d_inner_h = d_inner[..., -previous_h.shape[-1] :]
        d_bias = tf.reduce_sum(tf.cast(d_inner_h, state_dtype(d_inner.dtype)), axis=(0, 1))
        return _product_over_steps(previous_h, d_inner), tf.cast(d_bias, d_inner.dtype)


class GRUResetBeforeStep:
    """GRU that resets before the product: weights are the kernel of z and r, and that of h."""

    saved_count = 4
    preactivation_count = 1

    def forward(
        self, projected: tf.Tensor, states: Tensors, weights: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.forward`."""
        (h,) = states
        x_z, x_r, x_h = tf.split(projected, 3, axis=-1)
        inner_z, inner_r = tf.split(_product(h, weights[0]), 2, axis=-1)
        z = tf.sigmoid(x_z + inner_z)
        r = tf.sigmoid(x_r + inner_r)
        reset_h = r * h
        candidate = tf.tanh(x_h + _product(reset_h, weights[1]))
        return (z * h + (1 - z) * candidate,), (reset_h, z, r, candidate)

    def backward(
        self, d_states: Tensors, previous: Tensors, saved: Tensors, transposed: Tensors
    ) -> tuple[Tensors, Tensors]:
        """See `Step.backward`."""
        (d_h,), (h,) = d_states, previous
        _, z, r, candidate = saved
        d_candidate = d_h * (1 - z) * (1 - candidate * candidate)
        d_reset_h = _product(d_candidate, transposed[1])
        d_zr = tf.concat(
            [d_h * (h - candidate) * z * (1 - z), d_reset_h * h * r * (1 - r)], axis=-1
        )
        d_previous = d_h * z + d_reset_h * r + _product(d_zr, transposed[0])
        return (d_previous,), (tf.concat([d_zr, d_candidate], axis=-1),)

    def weight_gradients(
        self, previous_h: tf.Tensor, saved: TensorArrays, d_preactivations: Tensors
    ) -> Tensors:
        """See `Step.weight_gradients`."""
        units = previous_h.shape[-1]
        d_zr, d_candidate = tf.split(d_preactivations[0], [2 * units, units], axis=-1)
        reset_h = tf.cast(saved[0].stack(), previous_h.dtype)
        return (
            _product_over_steps(previous_h, d_zr),
            _product_over_steps(reset_h, d_candidate),
        )


def state_dtype(compute_dtype: tf.DType) -> tf.DType:
    """Returns the dtype of states and gates in the loops: float32 at least."""
    return tf.float64 if compute_dtype == tf.float64 else tf.float32


def scan(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    training: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a step over time.

    Args:
        step: The maths of one step.
        projected: The input times its kernel plus bias, `(time, batch, gates * units)`.
        states: The initial states, `(batch, units)` each, in `state_dtype(projected.dtype)`.
        weights: The recurrent weights, in the dtype of `projected`.
        mask: Booleans, `(time, batch)`; a row keeps its states where it is false. `None` if no
            step of any row is masked.
        return_sequences: Whether `h` after every step is wanted.
        training: Whether to save what the gradient needs. Without it the gradient is the same,
            but derived by TensorFlow at its own speed.

    Returns:
        `h` after every step, `(time, batch, units)`, or `None` if not wanted; and the last states.
    """
    if projected.shape[0] == 1:  # a decoder's step needs no loop
        step_mask = None if mask is None else mask[0]
        states, _ = _masked_forward(step, projected[0], states, weights, step_mask)
        return states[0][tf.newaxis] if return_sequences else None, states
    if training:
        results = _differentiable_scan(step, mask, return_sequences)(projected, states, weights)
    else:
        results, _ = _forward_loop(
            step, projected, states, weights, mask, return_sequences=return_sequences, save=False
        )
    return (results[0] if return_sequences else None), results[-len(states) :]


def _differentiable_scan(
    step: Step, mask: tf.Tensor | None, return_sequences: bool
) -> Callable[[tf.Tensor, Tensors, Tensors], Tensors]:
    """Returns the forward loop as a function whose gradient is the backward loop."""

    @tf.custom_gradient
    def run(projected: tf.Tensor, states: Tensors, weights: Tensors) -> tuple[Tensors, Callable]:
        results, saved = _forward_loop(
            step, projected, states, weights, mask, return_sequences=return_sequences, save=True
        )

        def gradient(*d_results: tf.Tensor) -> tuple[tf.Tensor, Tensors, Tensors]:
            d_sequence = d_results[0] if return_sequences else None
            d_states, d_preactivations = _backward_loop(
                step, d_sequence, d_results[-len(states) :], saved, projected, weights, mask
            )
            previous_h = tf.cast(saved[0].stack(), projected.dtype)
            d_weights = step.weight_gradients(previous_h, saved[len(states) :], d_preactivations)
            return d_preactivations[0], d_states, d_weights

        return results, gradient

    return run


def _forward_loop(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    save: bool,
) -> tuple[Tensors, TensorArrays]:
    """Runs a step over time, see `scan`.

    Returns:
        `h` after every step if wanted, followed by the last states; and, to `save`, the states
        before every step followed by what the step saves.
    """
    time = tf.shape(projected)[0]
    inputs = _arrays(1, time, projected.shape[1:], projected.dtype)[0].unstack(projected)
    shape, dtype = states[0].shape, states[0].dtype
    sequence = _arrays(int(return_sequences), time, shape, dtype)
    saved = _arrays(len(states) + step.saved_count if save else 0, time, shape, dtype)

    def body(
        t: tf.Tensor, states: Tensors, sequence: TensorArrays, saved: TensorArrays
    ) -> tuple[tf.Tensor, Tensors, TensorArrays, TensorArrays]:
        step_mask = None if mask is None else mask[t]
        new_states, kept = _masked_forward(step, inputs.read(t), states, weights, step_mask)
        sequence = _write(sequence, t, new_states[:1])
        saved = _write(saved, t, (*states, *kept))
        return t + 1, new_states, sequence, saved

    _, states, sequence, saved = tf.while_loop(
        lambda t, *_: t < time, body, (0, states, sequence, saved), maximum_iterations=time
    )
    return (*(array.stack() for array in sequence), *states), saved


def _backward_loop(
    step: Step,
    d_sequence: tf.Tensor | None,
    d_states: Tensors,
    saved: TensorArrays,
    projected: tf.Tensor,
    weights: Tensors,
    mask: tf.Tensor | None,
) -> tuple[Tensors, Tensors]:
    """Runs the gradient of a step back over time.

    Args:
        step: The maths of one step.
        d_sequence: The gradient of `h` after every step, `(time, batch, units)`, if wanted.
        d_states: The gradients of the last states, `(batch, units)` each.
        saved: What `_forward_loop` saved.
        projected: The input times its kernel plus bias, `(time, batch, gates * units)`.
        weights: The recurrent weights.
        mask: Booleans, `(time, batch)`, or `None`.

    Returns:
        The gradients of the initial states, and those of the pre-activations at every step,
        `(time, batch, gates * units)`, in the dtype of `projected`.
    """
    time = tf.shape(projected)[0]
    transposed = tuple(tf.transpose(weight) for weight in weights)  # once: it halves the products
    collected = _arrays(step.preactivation_count, time, projected.shape[1:], projected.dtype)

    def body(
        t: tf.Tensor, d_states: Tensors, collected: TensorArrays
    ) -> tuple[tf.Tensor, Tensors, TensorArrays]:
        if d_sequence is not None:
            d_states = (d_states[0] + d_sequence[t], *d_states[1:])
        values = tuple(array.read(t) for array in saved)
        previous, kept = values[: len(d_states)], values[len(d_states) :]
        step_mask = None if mask is None else mask[t]
        active = _select(step_mask, d_states, tuple(tf.zeros_like(d) for d in d_states))
        d_previous, d_preactivations = step.backward(active, previous, kept, transposed)
        d_previous = _select(step_mask, d_previous, d_states)
        collected = _write(collected, t, [tf.cast(d, projected.dtype) for d in d_preactivations])
        return t - 1, d_previous, collected

    _, d_states, collected = tf.while_loop(
        lambda t, *_: t >= 0, body, (time - 1, d_states, collected), maximum_iterations=time
    )
    return d_states, tuple(array.stack() for array in collected)


def _masked_forward(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
) -> tuple[Tensors, Tensors]:
    """Goes one step on in the rows whose `mask`, `(batch,)`, is true; see `Step.forward`."""
    projected = tf.cast(projected, states[0].dtype)
    new_states, kept = step.forward(projected, states, weights)
    return _select(mask, new_states, states), kept


def _select(mask: tf.Tensor | None, values: Tensors, others: Tensors) -> Tensors:
    """Returns the rows of `values`, but those of `others` where `mask`, `(batch,)`, is false."""
    if mask is None:
        return values
    pairs = zip(values, others, strict=True)
    return tuple(tf.where(mask[:, tf.newaxis], value, other) for value, other in pairs)


def _product(rows: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Multiplies in the dtype of `weight`, `(inputs, outputs)`, and returns the dtype of `rows`."""
    return tf.cast(tf.matmul(tf.cast(rows, weight.dtype), weight), rows.dtype)


def _product_over_steps(operand: tf.Tensor, d_product: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a weight, `(inputs, outputs)`, summed over all steps and rows.

    Args:
        operand: What the weight was multiplied with, `(time, batch, inputs)`.
        d_product: The gradient of the product, `(time, batch, outputs)`.
    """
    rows = tf.reshape(operand, (-1, operand.shape[-1]))
    d_rows = tf.reshape(d_product, (-1, d_product.shape[-1]))
    return tf.matmul(rows, d_rows, transpose_a=True)


def _arrays(count: int, time: tf.Tensor, shape: tf.TensorShape, dtype: tf.DType) -> TensorArrays:
    """Returns empty arrays of `time` elements."""
    return tuple(
        tf.TensorArray(dtype, time, element_shape=shape, clear_after_read=False)
        for _ in range(count)
    )


def _write(arrays: TensorArrays, t: tf.Tensor, values: Sequence[tf.Tensor]) -> TensorArrays:
    """Writes one value to each array; where there are no arrays, it writes nothing."""
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=False))
