"""What an optimizer does with gradients: merge, clip, and take Adam's step."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from seq2seq.kernels.library import library


class Merged(NamedTuple):
    """The gradient of a variable; of a table that rows were looked up in, only of those rows."""

    values: tf.Tensor
    """Float32, as the variable; or `(some rows, width)`, each row once."""
    slots: tf.Tensor
    """Empty; or int32 `(rows,)`: the row of `values` for each row of the table, -1 for none."""


def merged(gradient: tf.Tensor | tf.IndexedSlices) -> Merged:
    """Adds slices of the same row; only where kernels are `usable`.

    Raises:
        tf.errors.InvalidArgumentError: If a slice is of a row that the table does not have.
    """
    if (
        not isinstance(gradient, tf.IndexedSlices)
        or gradient.dense_shape is None
        or gradient.values.shape.rank != 2
    ):
        dense = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        return Merged(dense, tf.zeros(0, tf.int32))
    return Merged(
        *library().seq2seq_merged_slices(
            slices=tf.cast(gradient.values, tf.float32),
            indices=tf.cast(gradient.indices, tf.int32),
            rows=tf.cast(gradient.dense_shape[0], tf.int32),
        )
    )


def clipping_scale(gradients: Sequence[Merged], limit: float) -> tf.Tensor:
    """Returns what gradients have to be multiplied with; only where kernels are `usable`.

    Args:
        gradients: One at least.
        limit: The largest norm of all of them together, above 0.

    Returns:
        A scalar, at most 1; NaN, as in Keras, if the norm is not finite.
    """
    values = [gradient.values for gradient in gradients]
    return library().seq2seq_clipping_scale(limit=limit, gradients=values)


def adam_step(
    variable: tf.Variable, m: tf.Variable, v: tf.Variable, gradient: Merged, numbers: tf.Tensor
) -> None:
    """Updates a variable and its moments, float32 each; only where kernels are `usable`.

    Args:
        variable: The variable.
        m: The mean of its gradients.
        v: The mean of their squares.
        gradient: Its gradient.
        numbers: Float32 `(5,)`: step size, beta_1, beta_2, epsilon, and what the gradient is
            multiplied with.
    """
    kept = (variable, m, v)
    updated = library().seq2seq_adam(
        numbers=numbers,
        variable=variable.read_value(),
        m=m.read_value(),
        v=v.read_value(),
        gradient=gradient.values,
        slots=gradient.slots,
    )
    for each, value in zip(kept, updated, strict=True):
        each.assign(tf.ensure_shape(value, each.shape), read_value=False)
