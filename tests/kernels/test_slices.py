"""Gradients of an embedding's rows against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.kernels.slices import dense_gradient
from seq2seq.training.optimizers import Adam

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize(("rows", "width", "count"), [(7, 5, 30), (3000, 64, 900), (9, 4, 0)])
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_slices_of_the_same_row_are_added(rows, width, count, dtype):
    random = np.random.default_rng(1)
    values = random.normal(size=(count, width)).astype(np.float32)
    indices = random.integers(0, max(1, rows // 2), count)
    expected = np.zeros((rows, width), np.float32)
    np.add.at(expected, indices, values)
    values = tf.constant(values)
    slices = tf.IndexedSlices(values, tf.cast(indices, dtype), tf.constant([rows, width]))
    np.testing.assert_allclose(dense_gradient(slices), expected, rtol=1e-6, atol=1e-6)


def test_a_training_step_reaches_the_kernel():
    table, optimizer = keras.Variable(np.ones((9, 4), np.float32)), Adam(global_clipnorm=1.0)
    optimizer.build([table])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, [1, 1, 5]))
        optimizer.apply(tape.gradient(loss, [table.value]), [table])

    names = {operation.type for operation in step.get_concrete_function().graph.get_operations()}
    assert "Seq2seqSumOfSlices" in names
    assert "UnsortedSegmentSum" not in names


def test_what_is_dense_stays_as_it_is():
    gradient = tf.constant([[1.0, 2.0]])
    assert dense_gradient(gradient) is gradient


def test_a_row_that_is_not_there_is_refused():
    slices = tf.IndexedSlices(tf.ones((1, 4)), tf.constant([9]), tf.constant([9, 4]))
    with pytest.raises(tf.errors.InternalError, match="not one of the table's rows"):
        dense_gradient(slices)
