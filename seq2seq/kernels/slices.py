"""Gradients of an embedding's rows."""

import tensorflow as tf

from seq2seq.kernels.library import library, usable


def dense_gradient(gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """Returns a gradient as one tensor; slices of the same row are added.

    Raises:
        tf.errors.InternalError: If a slice is of a row that the table does not have.
    """
    if not isinstance(gradient, tf.IndexedSlices) or gradient.dense_shape is None:
        return tf.convert_to_tensor(gradient)
    matrix = gradient.values.dtype == tf.float32 and gradient.values.shape.rank == 2
    if not matrix or not usable(tf.float32, training=True):
        return tf.convert_to_tensor(gradient)
    sums = library().seq2seq_sum_of_slices(
        slices=gradient.values,
        indices=tf.cast(gradient.indices, tf.int32),
        rows=tf.cast(gradient.dense_shape[0], tf.int32),
    )
    return tf.ensure_shape(sums, (None, gradient.values.shape[1]))
