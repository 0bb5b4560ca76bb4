"""A recurrent layer by TensorFlow's operations: one compiled loop forward, one back.

Three things make it faster than a cell called at every step and differentiated by TensorFlow:

- the input is multiplied by its kernel for all steps at once, before the loop;
- in training the forward loop saves, by reference, just what the gradient needs;
- the backward loop carries no gradient of a weight: it collects the gradients of the
  pre-activations, and one product over all steps makes the gradient of the weights from them.

Inside the loops time comes first: sequences are `(time, batch, ...)`, masks `(time, batch)`. The
equations of a step are in `recurrent_cells`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from seq2seq.ops.differentiable import Gradient, Tensors, differentiable
from seq2seq.ops.dispatch import gradients_recorded
from seq2seq.ops.recurrent_cells import Results, Step
from seq2seq.ops.scan import Arrays, array_of, empty_array


class LoopWeights(NamedTuple):
    """The equations of a layer and its weights, in the dtype of the products.

    Attributes:
        step: The equations.
        kernel: `(features, gates * units)`.
        bias: `(gates * units,)` or `None`.
        recurrent: The weights that the step takes.
    """

    step: Step
    kernel: tf.Tensor
    bias: tf.Tensor | None
    recurrent: Tensors


def layer_loop(
    weights: LoopWeights,
    sequences: tf.Tensor,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    return_sequences: bool,
    go_backwards: bool,
    training: bool,
) -> tuple[tf.Tensor | None, Tensors]:
    """Runs a layer over time; arguments and results as in `recurrent`, states in `state_dtype`."""
    step, recurrent, time = weights.step, weights.recurrent, sequences.shape[1]
    projected = project(weights, time_first(sequences, go_backwards))
    states = tuple(for_each_row(state, sequences, recurrent[0].shape[0]) for state in states)
    mask = None if mask is None else time_first(mask, go_backwards)
    if projected.shape[0] == 1:  # without a loop
        step_mask = None if mask is None else mask[0]
        states, _ = _masked_forward(step, projected[0], states, recurrent, step_mask)
        hidden = states[0][tf.newaxis] if return_sequences else None
    else:
        if training and gradients_recorded():
            run = _differentiable_loop(step, mask, len(states), return_sequences)
            results = run(projected, *states, *recurrent)
        else:
            results = _plain_loop(step, projected, states, recurrent, mask, return_sequences)
        hidden = results[0] if return_sequences else None
        states = results[-len(states) :]
    if hidden is not None:
        hidden = tf.transpose(hidden, (1, 0, 2))
        hidden.set_shape((None, time, None))  # tensor arrays lose the static size
    return hidden, states


def _plain_loop(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    return_sequences: bool,
) -> Tensors:
    """Returns `h` after every step if `return_sequences`, followed by the last states.

    Its gradient is TensorFlow's, and slower than that of `_differentiable_loop`.
    """
    arrays, states = forward_loop(
        step, projected, states, weights, mask, histories=int(return_sequences), save=False
    )
    return (arrays[0].stack()[1:], *states) if return_sequences else states


def _differentiable_loop(
    step: Step, mask: tf.Tensor | None, count: int, return_sequences: bool
) -> Callable[..., Tensors]:
    """Returns `_plain_loop` as a function whose gradient is the backward loop.

    It takes the projected input, the initial states, `count` of them, and the weights.
    """
    constants = () if mask is None else (mask,)

    def run(projected: tf.Tensor, *operands: tf.Tensor) -> tuple[Tensors, Gradient]:
        states, weights = operands[:count], operands[count:]
        arrays, last_states = forward_loop(
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
        own_mask = None if mask is None else operands[-1]
        return _plain_loop(step, projected, states, weights, own_mask, return_sequences)

    return differentiable(run, reference, constants)


def forward_loop(
    step: Step,
    projected: tf.Tensor,
    states: Tensors,
    weights: Tensors,
    mask: tf.Tensor | None,
    *,
    histories: int,
    save: bool,
) -> tuple[Arrays, Tensors]:
    """Runs a step over time.

    Returns:
        Arrays of the first so many states (`histories`) before the first step and after every
        step, followed, to `save`, by arrays of what every step saved; and the last states.
    """
    time = tf.shape(projected)[0]
    inputs = array_of(projected)
    history = _write(_arrays(histories, time + 1, states[0]), 0, states)
    saved = _arrays(step.saved_count if save else 0, time, states[0])

    def body(t: tf.Tensor, states: Tensors, history: Arrays, saved: Arrays) -> tuple:
        step_mask = None if mask is None else mask[t]
        states, values = _masked_forward(step, inputs.read(t), states, weights, step_mask)
        return states, _write(history, t + 1, states), _write(saved, t, values)

    states, history, saved = _repeat(body, time, (states, history, saved))
    return (*history, *saved), states


def _backward_loop(
    step: Step,
    d_sequence: tf.Tensor | None,
    d_states: Tensors,
    arrays: Arrays,
    projected: tf.Tensor,
    weights: Tensors,
    mask: tf.Tensor | None,
) -> Results:
    """Runs the gradient of a step back over time.

    Maps the gradients of `h` after every step, if there are any, and of the last states to those of
    the initial states, and of the pre-activations, `(time, batch, gates * units)`, in the dtype of
    `projected`. The arrays, from `forward_loop`, hold the states and what every step saved.
    """
    time = tf.shape(projected)[0]
    transposed = tuple(tf.transpose(weight) for weight in weights)  # once: it halves the products
    collected = _arrays(step.preactivation_count, time, projected[0])

    def body(n: tf.Tensor, d_states: Tensors, collected: Arrays) -> tuple:
        t = time - 1 - n
        if d_sequence is not None:
            d_states = (d_states[0] + d_sequence[t], *d_states[1:])
        values = tuple(array.read(t) for array in arrays)
        previous, saved = values[: len(d_states)], values[len(d_states) :]
        step_mask = None if mask is None else mask[t]
        active = _select(step_mask, d_states, tuple(tf.zeros_like(d) for d in d_states))
        d_previous, d_preactivations = step.backward(active, previous, saved, transposed)
        d_previous = _select(step_mask, d_previous, d_states)
        collected = _write(collected, t, [tf.cast(d, projected.dtype) for d in d_preactivations])
        return d_previous, collected

    d_states, collected = _repeat(body, time, (d_states, collected))
    return d_states, tuple(array.stack() for array in collected)


def _repeat(body: Callable[..., tuple], times: tf.Tensor, variables: tuple) -> tuple:
    """Calls `body` with the number of the call and its own last results, `times` times.

    An iteration of a compiled loop has a cost of its own, which shows in small models. So each
    makes two calls, and a second loop the odd one.
    """

    def two_calls(n: tf.Tensor, *variables: Any) -> tuple:
        return n + 2, *body(n + 1, *body(n, *variables))

    def one_call(n: tf.Tensor, *variables: Any) -> tuple:
        return n + 1, *body(n, *variables)

    # XLA needs the maximum number of iterations, and it may not be 0.
    loop = tf.while_loop(
        lambda n, *_: n + 1 < times, two_calls, (0, *variables), maximum_iterations=times
    )
    return tf.while_loop(lambda n, *_: n < times, one_call, loop, maximum_iterations=1)[1:]


def _masked_forward(
    step: Step, projected: tf.Tensor, states: Tensors, weights: Tensors, mask: tf.Tensor | None
) -> Results:
    """Runs `Step.forward` in the rows whose `mask`, `(batch,)`, is true."""
    projected = tf.cast(projected, states[0].dtype)
    new_states, saved = step.forward(projected, states, weights)
    return _select(mask, new_states, states), saved


def _select(mask: tf.Tensor | None, values: Tensors, others: Tensors) -> Tensors:
    """Returns the rows of `values`, but those of `others` where `mask`, `(batch,)`, is false."""
    if mask is None:
        return values
    pairs = zip(values, others, strict=True)
    return tuple(tf.where(mask[:, tf.newaxis], value, other) for value, other in pairs)


def _arrays(count: int, time: tf.Tensor, like: tf.Tensor) -> Arrays:
    return tuple(empty_array(time, like) for _ in range(count))


def _write(arrays: Arrays, t: tf.Tensor, values: Sequence[tf.Tensor]) -> Arrays:
    """Writes one value to each array; there may be more values than arrays."""
    return tuple(array.write(t, value) for array, value in zip(arrays, values, strict=False))


def project(weights: LoopWeights, sequences: tf.Tensor) -> tf.Tensor:
    """Multiplies all steps, `(time, batch, features)`, by the kernel at once and adds the bias."""
    time, batch, features = keras.ops.shape(sequences)
    projected = tf.matmul(tf.reshape(sequences, (-1, features)), weights.kernel)
    if weights.bias is not None:
        # Not bias_add: its gradient sums bfloat16 in bfloat16, and sticks at 512.
        projected += weights.bias
    return tf.reshape(projected, (time, batch, weights.kernel.shape[-1]))


def time_first(sequences: tf.Tensor, go_backwards: bool) -> tf.Tensor:
    """Returns `(batch, time, ...)` as `(time, batch, ...)` in the order of the loop."""
    sequences = tf.transpose(sequences, [1, 0, *range(2, len(sequences.shape))])
    return tf.reverse(sequences, [0]) if go_backwards else sequences


def for_each_row(state: tf.Tensor, sequences: tf.Tensor, units: int) -> tf.Tensor:
    """Returns a state, `(batch, units)`, of which there may be one for all rows."""
    if sequences.shape[0] is not None and state.shape == (sequences.shape[0], units):
        return state
    state = tf.ensure_shape(state, (None, units))
    return tf.broadcast_to(state, (tf.shape(sequences)[0], units))
