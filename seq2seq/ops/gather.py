"""Rows of a table: embeddings of tokens, states of hypotheses; columns of an output layer."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from seq2seq.ops.compile import library
from seq2seq.ops.dispatch import steps_usable, usable
from seq2seq.private_api import stored_value


def gather(
    table: tf.Tensor, indices: tf.Tensor, dtype: tf.DType | None = None, training: bool = False
) -> tf.Tensor:
    """Returns `tf.cast(tf.gather(table, indices), dtype)`, in one operation if possible.

    Its gradient is of slices, in the table's type.

    Raises:
        tf.errors.InvalidArgumentError: If there is no such row.
    """
    dtype = table.dtype if dtype is None else dtype
    types = {table.dtype, dtype}
    if table.shape.rank == 2 and all(steps_usable(t) or usable(t, training) for t in types):
        return _rows(table, indices, dtype)
    return tf.cast(tf.gather(table, indices), dtype)


def embedding_lookup(
    embeddings: Any, ids: tf.Tensor, dtype: str | tf.DType, training: bool
) -> tf.Tensor:
    """Maps ids `(...)` to vectors `(..., dim)` of the variable `embeddings`, `(ids, dim)`.

    As in Keras, negative ids count from the table's end; not in a search's step, whose ids are
    tokens.
    """
    table, dtype = stored_value(embeddings), tf.as_dtype(dtype)
    if ids.dtype not in (tf.int32, tf.int64):
        ids = tf.cast(ids, tf.int32)
    if not steps_usable(dtype):
        ids = tf.where(ids < 0, ids + table.shape[0], ids)
    if ids.dtype == tf.int64:  # an id out of range stays out of range
        ids = tf.cast(tf.clip_by_value(ids, tf.int32.min, tf.int32.max), tf.int32)
    return gather(table, ids, dtype, training)


def distinct_rows(slices: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds up the slices of each row of a table, in their order.

    Args:
        slices: The gradient by lookup, `(lookups, ...)`.
        rows: The rows that were looked up, `(lookups,)`.

    Returns:
        Slices, and their rows, each of which occurs once.
    """
    distinct, segments = tf.unique(rows)
    return tf.math.unsorted_segment_sum(slices, segments, tf.size(distinct)), distinct


def gather_columns(matrix: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Returns `tf.gather(matrix, indices, axis=1)`, `(rows, columns)`, faster on CPU; no gradient.

    Raises:
        tf.errors.InvalidArgumentError: If there is no such column.
    """
    if matrix.dtype != tf.float32 or not usable(matrix.dtype, training=False):
        return tf.gather(matrix, indices, axis=1)
    columns = library().seq2seq_columns(matrix=matrix, indices=indices)
    columns.set_shape((matrix.shape[0], indices.shape[0]))
    return columns


def _rows(table: tf.Tensor, indices: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    @tf.custom_gradient
    def run(table: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        rows = library().seq2seq_rows(table=table, indices=indices, T=dtype)
        rows.set_shape(indices.shape.concatenate(table.shape[1:]))

        def gradient(d_rows: tf.Tensor) -> tf.IndexedSlices:
            slices = tf.reshape(tf.cast(d_rows, table.dtype), (-1, table.shape[1]))
            return tf.IndexedSlices(slices, tf.reshape(indices, (-1,)), tf.shape(table))

        return rows, gradient

    return run(table)
