"""A loop over time for any step that needs results of the step before."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from seq2seq.ops.dispatch import export_runtime
from seq2seq.private_api import asks_for_shapes


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]], sequences: Any, state: Any
) -> tuple[Any, Any]:
    """Runs a step over time as one compiled loop.

    Args:
        step: Maps one step of the sequences, `(batch, 1, ...)`, and the state to its outputs,
            `(batch, 1, ...)`, and the next state.
        sequences: A nest of tensors, `(batch, steps, ...)`, of at least one step.
        state: A nest of tensors.

    Returns:
        The outputs of all steps, `(batch, steps, ...)`, and the last state.
    """
    time_first = [_swap(sequence) for sequence in tf.nest.flatten(sequences)]
    steps = tf.shape(time_first[0])[0]
    # From arrays, as the gradient of a slice is as long as what it is a slice of. They are flat
    # lists, as a dense array is itself a nest.
    inputs = [array_of(sequence) for sequence in time_first]

    def one_step(t: Any, state: Any) -> tuple[Any, Any]:
        step_inputs = [array.read(t)[:, tf.newaxis] for array in inputs]
        outputs, state = step(tf.nest.pack_sequence_as(sequences, step_inputs), state)
        return tf.nest.map_structure(lambda output: output[:, 0], outputs), state

    def body(t: tf.Tensor, arrays: Arrays, state: Any) -> tuple[tf.Tensor, Arrays, Any]:
        outputs, state = one_step(t, state)
        flat = zip(arrays, tf.nest.flatten(outputs), strict=True)
        return t + 1, tuple(array.write(t, output) for array, output in flat), state

    # The first step, before the loop, gives the shapes of outputs and states.
    outputs, state = one_step(0, state)
    flat = tf.nest.flatten(outputs)
    if asks_for_shapes():
        all_steps = [_swap(repeat_steps(output, steps)) for output in flat]
        return tf.nest.pack_sequence_as(outputs, all_steps), state
    arrays: Arrays = tuple(empty_array(steps, output).write(0, output) for output in flat)
    _, arrays, state = tf.while_loop(
        lambda t, *_: t < steps, body, (1, arrays, state), maximum_iterations=steps - 1
    )
    all_steps = [_swap(array.stack()) for array in arrays]
    return tf.nest.pack_sequence_as(outputs, all_steps), state


class DenseArray(NamedTuple):
    """An array as one tensor, `(steps, ...)`, with the methods of `tf.TensorArray` used here.

    Runtimes other than TensorFlow have no lists of tensors.
    """

    values: tf.Tensor

    def read(self, t: tf.Tensor) -> tf.Tensor:
        """Returns element `t`."""
        return tf.gather(self.values, t)

    def write(self, t: tf.Tensor, value: tf.Tensor) -> "DenseArray":
        """Returns an array with another element `t`."""
        steps = tf.range(tf.shape(self.values)[0])
        here = tf.reshape(tf.equal(steps, t), [-1, *[1] * value.shape.rank])
        return DenseArray(tf.where(here, value[tf.newaxis], self.values))

    def stack(self) -> tf.Tensor:
        """Returns all elements."""
        return self.values


Array: TypeAlias = tf.TensorArray | DenseArray
Arrays: TypeAlias = tuple[Array, ...]


def empty_array(steps: tf.Tensor, like: tf.Tensor) -> Array:
    """Returns an array of elements like this one, which can be read more than once."""
    if export_runtime() in (None, "tensorflow"):
        return tf.TensorArray(like.dtype, steps, element_shape=like.shape, clear_after_read=False)
    shape = tf.concat([tf.reshape(steps, [1]), tf.shape(like)], 0)
    zeros = tf.zeros(shape, like.dtype)
    zeros.set_shape((None, *like.shape))
    return DenseArray(zeros)


def array_of(sequence: tf.Tensor) -> Array:
    """Returns the steps of a sequence, `(steps, ...)`, as an array."""
    if export_runtime() not in (None, "tensorflow"):
        return DenseArray(sequence)
    steps = tf.shape(sequence)[0]
    array = tf.TensorArray(
        sequence.dtype, steps, element_shape=sequence.shape[1:], clear_after_read=False
    )
    return array.unstack(sequence)


def repeat_steps(output: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Repeats the output of one step, `(batch, ...)`, as `(steps, batch, ...)`."""
    repeated = tf.broadcast_to(output, tf.concat([[steps], tf.shape(output)], 0))
    return tf.ensure_shape(repeated, (None, *output.shape))


def _swap(sequence: tf.Tensor) -> tf.Tensor:
    """Swaps the first two axes."""
    return tf.transpose(sequence, [1, 0, *range(2, sequence.shape.rank)])
