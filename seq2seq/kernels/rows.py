"""Rows of tables: of embeddings, and of what belongs to hypotheses."""

from collections.abc import Callable

import tensorflow as tf

from seq2seq.kernels.library import library


def rows_of(table: tf.Tensor, indices: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns what `tf.cast(tf.gather(table, indices), dtype)` does, in one operation.

    Only where kernels are `available` for both types. The gradient is of slices.

    Args:
        table: `(count, width)`, float32 or bfloat16.
        indices: int32 `(...)`.
        dtype: float32 or bfloat16.

    Returns:
        `(..., width)`.

    Raises:
        tf.errors.InvalidArgumentError: If there is no such row.
    """

    @tf.custom_gradient
    def run(table: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        rows = library().seq2seq_rows(table=table, indices=indices, T=dtype)
        rows.set_shape(indices.shape.concatenate(table.shape[1:]))

        def gradient(d_rows: tf.Tensor) -> tf.IndexedSlices:
            slices = tf.reshape(tf.cast(d_rows, table.dtype), (-1, table.shape[1]))
            return tf.IndexedSlices(slices, tf.reshape(indices, (-1,)), tf.shape(table))

        return rows, gradient

    return run(table)
