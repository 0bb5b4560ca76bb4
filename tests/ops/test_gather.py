"""Rows of tables against TensorFlow's gather."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.embedding import Embedding
from seq2seq.ops.dispatch import inference_kernels
from seq2seq.ops.gather import gather, gather_columns

pytestmark = pytest.mark.compiled

TYPES = [tf.float32, tf.bfloat16]


def drawn(*shape):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (40, 30)])
@pytest.mark.parametrize("width", [1, 16, 37])
@pytest.mark.parametrize("of", TYPES)
@pytest.mark.parametrize("to", TYPES)
def test_rows_are_those_of_gather(shape, width, of, to):
    table = tf.cast(drawn(9, width), of)
    indices = tf.constant(np.random.default_rng(4).integers(0, 9, shape), tf.int32)
    with inference_kernels():
        found = gather(table, indices, to)
    assert found.dtype == to
    np.testing.assert_array_equal(
        np.float32(found), np.float32(tf.cast(tf.gather(table, indices), to))
    )


def test_what_is_not_finite_stays_so():
    table = np.array([[np.nan, np.inf, -np.inf, -np.nan, 3.4e38, 1e-45]], np.float32)
    with inference_kernels():
        found = np.float32(gather(tf.constant(table), tf.constant([0]), tf.bfloat16))
    np.testing.assert_array_equal(found, np.float32(tf.cast(table, tf.bfloat16)))


@pytest.mark.parametrize("row", [-1, 9])
def test_a_row_that_is_not_there_is_an_error(row):
    error = pytest.raises(tf.errors.InvalidArgumentError, match="not one of the table's rows")
    with inference_kernels(), error:
        gather(tf.zeros((9, 2)), tf.constant([0, row]), tf.float32)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_embedding_and_its_gradient(policy):
    ids = tf.constant([[1, 4, 1], [0, 8, 4]])
    layer, of_keras = Embedding(9, 20, dtype=policy), keras.layers.Embedding(9, 20)
    for each in (layer, of_keras):
        each.build()
        each.set_weights([drawn(9, 20)])
    found = []
    for each in (layer, of_keras):
        with tf.GradientTape() as tape:
            vectors = each(ids, training=True) if each is layer else each(ids)
            loss = tf.reduce_sum(tf.cast(vectors, tf.float32) * drawn(2, 3, 20))
        gradient = tape.gradient(loss, each.embeddings.value)
        assert isinstance(gradient, tf.IndexedSlices)
        assert gradient.dtype == tf.float32
        found.append((np.float32(vectors), np.array(tf.convert_to_tensor(gradient))))
    for one, other in zip(*found, strict=True):
        tolerance = 1e-6 if policy == "float32" else 2**-7
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("count", [0, 1, 40, 300])
def test_columns_are_those_of_gather(count):
    matrix = tf.constant(drawn(90, 70))
    indices = tf.constant(np.random.default_rng(4).integers(0, 70, count), tf.int32)
    with inference_kernels():
        columns = gather_columns(matrix, indices)
    np.testing.assert_array_equal(columns, tf.gather(matrix, indices, axis=1))


@pytest.mark.parametrize("column", [-1, 2])
def test_a_column_that_is_not_there_is_an_error(column):
    error = pytest.raises(tf.errors.InvalidArgumentError, match="not one of the matrix' columns")
    with inference_kernels(), error:
        gather_columns(tf.zeros((9, 2)), tf.constant([0, column]))
