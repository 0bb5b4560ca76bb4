"""Adam (Kingma & Ba, 2015): the update of all variables by kernels, or of one by TensorFlow's."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.dispatch import available


class Moments(NamedTuple):
    """A variable's running means: of its gradients, and of their squares."""

    m: tf.Variable
    v: tf.Variable


class Settings(NamedTuple):
    """The numbers of an update; `step` counts from 1."""

    learning_rate: Any
    step: tf.Tensor
    beta_1: float
    beta_2: float
    epsilon: float


def fused_adam_available() -> bool:
    """Returns whether `fused_adam` can update float32 variables here."""
    return available(tf.float32)


def fused_adam(
    gradients: Sequence[tf.Tensor | tf.IndexedSlices],
    variables: Sequence[tf.Variable],
    moments: Sequence[Moments],
    settings: Settings,
    global_clipnorm: float,
) -> None:
    """Clips gradients by their global norm and updates float32 variables, by kernels.

    Each is read once and written once, and gradients of embeddings are never made dense. Only where
    `fused_adam_available`; there is no limit of the norm if `global_clipnorm` is 0.

    Raises:
        tf.errors.InvalidArgumentError: If a slice is of a row that the table does not have.
    """
    _, step, beta_1, beta_2, epsilon = settings
    merged = [merge(gradient) for gradient in gradients]
    scale = clipping_scale(merged, global_clipnorm) if global_clipnorm > 0 else 1.0
    step = tf.cast(step, tf.float32)
    correction = tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
    step_size = tf.cast(settings.learning_rate, tf.float32) * correction
    numbers = tf.stack([step_size, beta_1, beta_2, epsilon, scale])
    for gradient, variable, (m, v) in zip(merged, variables, moments, strict=True):
        update(variable, m, v, gradient, numbers)


def adam(gradient: tf.Tensor, variable: tf.Variable, moments: Moments, settings: Settings) -> None:
    """Updates one variable and its moments by TensorFlow's operation."""
    dtype = variable.dtype
    step = tf.cast(settings.step, dtype)
    beta_1, beta_2 = (tf.cast(beta, dtype) for beta in (settings.beta_1, settings.beta_2))
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moments.m.handle,
        v=moments.v.handle,
        beta1_power=tf.pow(beta_1, step),
        beta2_power=tf.pow(beta_2, step),
        lr=tf.cast(settings.learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(settings.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
        use_locking=True,
    )


class Merged(NamedTuple):
    """The gradient of a variable; of an embedding table, only of the rows that were looked up."""

    values: tf.Tensor
    """Float32, as the variable; or `(distinct rows, width)`, each row once."""
    slots: tf.Tensor
    """Empty; or int32 `(rows,)`: the row of `values` for each row of the table, -1 for none."""


def merge(gradient: tf.Tensor | tf.IndexedSlices) -> Merged:
    """Adds up slices of the same row, by a kernel."""
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
    """Returns the factor, at most 1, that keeps the norm of all gradients below a limit above 0.

    As in Keras it is NaN if the norm is not finite.
    """
    values = [gradient.values for gradient in gradients]
    return library().seq2seq_clipping_scale(limit=limit, gradients=values)


def update(
    variable: tf.Variable, m: tf.Variable, v: tf.Variable, gradient: Merged, numbers: tf.Tensor
) -> None:
    """Updates a variable and its moments, by a kernel.

    The numbers, float32 `(5,)`, are step size, beta_1, beta_2, epsilon, and the gradient's factor.
    """
    values = library().seq2seq_adam(
        numbers=numbers,
        variable=variable.read_value(),
        m=m.read_value(),
        v=v.read_value(),
        gradient=gradient.values,
        slots=gradient.slots,
    )
    for target, value in zip((variable, m, v), values, strict=True):
        target.assign(tf.ensure_shape(value, target.shape), read_value=False)
