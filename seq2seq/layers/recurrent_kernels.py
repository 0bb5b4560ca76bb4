"""The loops of the recurrent layers: one compiled loop forward, one back.

Three things make it faster than a cell called at every step and differentiated by TensorFlow:

- the input has been multiplied by its kernel for all steps at once, before the loop;
- in training the forward loop saves, by reference, just what the gradient needs;
- the backward loop carries no gradient of a weight: it collects the gradients of the
  pre-activations, and one product over all steps makes the gradient of the weights from them.

Inside the loops time comes first: `(time, batch, ...)`. The maths of a step is in
`recurrent_steps`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from seq2seq.kernels.derivatives import Gradient, differentiable
from seq2seq.kernels.library import gradients_recorded
from seq2seq.layers.recurrent_steps import Step, TensorArrays, Tensors


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
        training: Whether to save what the gradient needs, if one is recorded. Without it the
            gradient is the same, but derived by TensorFlow at its own speed.

    Returns:
        `h` after every step, `(time, batch, units)`, or `None` if not wanted; and the last states.
    """
    if projected.shape[0] == 1:  # a decoder's step needs no loop
        step_mask = None if mask is None else mask[0]
        states, _ = _masked_forward(step, projected[0], states, weights, step_mask)
        return states[0][tf.newaxis] if return_sequences else None, states
    if training and gradients_recorded():
        run = _differentiable_scan(step, mask, len(states), return_sequences)
        results = run(projected, *states, *weights)
        return (results[0] if return_sequences else None), results[-len(states) :]
    arrays, states = _forward_loop(
        step, projected, states, weights, mask, histories=int(return_sequences), save=False
    )
    return (arrays[0].stack()[1:] if return_sequences else None), states


def traced_scan(
    step: Step, projected: tf.Tensor, states: Tensors, weights: Tensors, mask: tf.Tensor | None
) -> dict[str, tf.Tensor]:
    """Runs a step over time, and tells of every step the states after it, and its gates.

    Args:
        step: The maths of one step.
        projected: See `scan`.
        states: See `scan`.
        weights: See `scan`.
        mask: See `scan`.

    Returns:
        `(time, batch, units)` each: `hidden`, `cell` if there is one, and `step.gates`.
    """
    arrays, _ = _forward_loop(
        step, projected, states, weights, mask, histories=len(states), save=True
    )
    histories, saved = arrays[: len(states)], arrays[len(states) :]
    found = {
        name: array.stack()[1:] for name, array in zip(("hidden", "cell"), histories, strict=False)
    }
    return found | {name: saved[place].stack() for name, place in step.gates.items()}


def _differentiable_scan(
    step: Step, mask: tf.Tensor | None, count: int, return_sequences: bool
) -> Callable[..., Tensors]:
    """Returns the forward loop as a function whose gradient is the backward loop.

    It takes what is projected, the initial states (`count` of them) and the weights, see `scan`,
    and returns `h` after every step if `return_sequences`, followed by the last states.
    """
    constants = () if mask is None else (mask,)

    def run(projected: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
        states, weights = operands[:count], operands[count:]
        arrays, last_states = _forward_loop(
            step, projected, states, weights, mask, histories=count, save=True
        )
        h = arrays[0].stack()

        def gradient(*d_results: tf.Tensor) -> Tensors:
            d_sequence = d_results[0] if return_sequences else None
            d_states, d_preactivations = _backward_loop(
                step, d_sequence, d_results[-count:], arrays, projected, weights, mask
            )
            previous_h = tf.cast(h[:-1], projected.dtype)
            d_weights = step.weight_gradients(previous_h, arrays[count:], d_preactivations)
            return d_preactivations[0], *d_states, *d_weights

        return ((h[1:], *last_states) if return_sequences else last_states), gradient

    def reference(projected: tf.Tensor, *operands: tf.Tensor) -> Tensors:
        states, weights = operands[:count], operands[count : len(operands) - len(constants)]
        given_mask = None if mask is None else operands[-1]
        arrays, last_states = _forward_loop(
            step,
            projected,
            states,
            weights,
            given_mask,
            histories=int(return_sequences),
            save=False,
        )
        return (arrays[0].stack()[1:], *last_states) if return_sequences else last_states

    return differentiable(run, reference, constants)


def _forward_loop(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    *,
    histories: int,
    save: bool,
) -> tuple[TensorArrays, Tensors]:
    """Runs a step over time, see `scan`.

    Returns:
        Arrays of the first so many states (`histories`) before the first step and after every
        step, followed, to `save`, by arrays of what every step saved; and the last states.
    """
    time = tf.shape(projected)[0]
    inputs = _arrays(1, time, projected.shape[1:], projected.dtype)[0].unstack(projected)
    shape, dtype = states[0].shape, states[0].dtype
    history = _write(_arrays(histories, time + 1, shape, dtype), 0, states)
    saved = _arrays(step.saved_count if save else 0, time, shape, dtype)

    def body(
        t: tf.Tensor, states: Tensors, history: TensorArrays, saved: TensorArrays
    ) -> tuple[Tensors, TensorArrays, TensorArrays]:
        step_mask = None if mask is None else mask[t]
        states, kept = _masked_forward(step, inputs.read(t), states, weights, step_mask)
        return states, _write(history, t + 1, states), _write(saved, t, kept)

    states, history, saved = _repeat(body, time, (states, history, saved))
    return (*history, *saved), states


def _backward_loop(
    step: Step,
    d_sequence: tf.Tensor | None,
    d_states: Tensors,
    arrays: TensorArrays,
    projected: tf.Tensor,
    weights: Tensors,
    mask: tf.Tensor | None,
) -> tuple[Tensors, Tensors]:
    """Runs the gradient of a step back over time.

    Args:
        step: The maths of one step.
        d_sequence: The gradient of `h` after every step, `(time, batch, units)`, if it has one.
        d_states: The gradients of the last states, `(batch, units)` each.
        arrays: The states and saved tensors of every step, from `_forward_loop`.
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
        n: tf.Tensor, d_states: Tensors, collected: TensorArrays
    ) -> tuple[Tensors, TensorArrays]:
        t = time - 1 - n
        if d_sequence is not None:
            d_states = (d_states[0] + d_sequence[t], *d_states[1:])
        values = tuple(array.read(t) for array in arrays)
        previous, kept = values[: len(d_states)], values[len(d_states) :]
        step_mask = None if mask is None else mask[t]
        active = _select(step_mask, d_states, tuple(tf.zeros_like(d) for d in d_states))
        d_previous, d_preactivations = step.backward(active, previous, kept, transposed)
        d_previous = _select(step_mask, d_previous, d_states)
        collected = _write(collected, t, [tf.cast(d, projected.dtype) for d in d_preactivations])
        return d_previous, collected

    d_states, collected = _repeat(body, time, (d_states, collected))
    return d_states, tuple(array.stack() for array in collected)


def _repeat(body: Callable[..., tuple], times: tf.Tensor, variables: tuple) -> tuple:
    """Calls `body` with the number of the call and its own last results, `times` times.

    A round of a compiled loop has a cost of its own, which shows in small models. So a round makes
    two calls, and a second loop the odd one.
    """

    def two_calls(n: tf.Tensor, *variables: Any) -> tuple:
        return n + 2, *body(n + 1, *body(n, *variables))

    def one_call(n: tf.Tensor, *variables: Any) -> tuple:
        return n + 1, *body(n, *variables)

    # XLA wants to know the most rounds there can be, and it may not be none.
    loop = tf.while_loop(
        lambda n, *_: n + 1 < times, two_calls, (0, *variables), maximum_iterations=times
    )
    return tf.while_loop(lambda n, *_: n < times, one_call, loop, maximum_iterations=1)[1:]


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


def _arrays(count: int, time: tf.Tensor, shape: tf.TensorShape, dtype: tf.DType) -> TensorArrays:
    """Returns empty arrays of `time` elements."""
    return tuple(
        tf.TensorArray(dtype, time, element_shape=shape, clear_after_read=False)
        for _ in range(count)
    )


def _write(arrays: TensorArrays, t: tf.Tensor, values: Sequence[tf.Tensor]) -> TensorArrays:
    """Writes one value to each array; where there are no arrays, it writes nothing."""
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=False))
