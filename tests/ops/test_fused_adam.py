"""Merged gradients, their norm and Adam's step against numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.ops.adam import Merged, clipping_scale, merge, update
from seq2seq.training.optimizers import Adam

pytestmark = pytest.mark.compiled


def dense(gradient):
    """What a merged gradient stands for."""
    slots = gradient.slots.numpy()
    with_zeros = np.concatenate([gradient.values, np.zeros((1, gradient.values.shape[1]))])
    return with_zeros[slots]


@pytest.mark.parametrize(("rows", "width", "count"), [(7, 5, 30), (3000, 64, 900), (9, 4, 0)])
@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_slices_of_the_same_row_are_added(rows, width, count, dtype):
    random = np.random.default_rng(1)
    values = random.normal(size=(count, width)).astype(np.float32)
    indices = random.integers(0, max(1, rows // 2), count)
    expected = np.zeros((rows, width), np.float32)
    np.add.at(expected, indices, values)
    slices = tf.IndexedSlices(
        tf.constant(values), tf.cast(indices, dtype), tf.constant([rows, width])
    )
    found = merge(slices)
    assert len(found.values) == len(set(indices))
    np.testing.assert_allclose(dense(found), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("limit", [0.5, 13.0, 1e6])
def test_gradients_are_scaled_to_the_limit(limit):
    gradients = [merge(tf.constant([3.0, 4.0])), merge(tf.constant([[12.0]]))]
    assert clipping_scale(gradients, limit).numpy() == pytest.approx(min(1, limit / 13))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    rows=st.sampled_from([1, 3, 70, 9000]),
    width=st.sampled_from([1, 7, 16, 33]),
    sparse=st.booleans(),
    scale=st.sampled_from([1.0, 0.3]),
)
def test_a_step_is_that_of_the_paper(rows, width, sparse, scale):
    random = np.random.default_rng(rows + width)
    before = [random.normal(size=(rows, width)).astype(np.float32) for _ in range(3)]
    before[2] = before[2] ** 2
    slots = np.full(0, -1, np.int32)
    values = g = random.normal(size=(rows, width)).astype(np.float32)
    if sparse:
        chosen = random.choice(rows, size=(rows + 1) // 2, replace=False)
        slots = np.full(rows, -1, np.int32)
        slots[chosen] = np.arange(len(chosen))
        values = g[chosen]
        g = np.where(slots[:, None] < 0, 0, g)
    rate, beta_1, beta_2, epsilon = 0.1, 0.9, 0.99, 1e-3
    variables = [tf.Variable(each) for each in before]
    numbers = tf.constant([rate, beta_1, beta_2, epsilon, scale])
    update(*variables, Merged(tf.constant(values), tf.constant(slots)), numbers)
    m = beta_1 * before[1] + (1 - beta_1) * scale * g
    v = beta_2 * before[2] + (1 - beta_2) * (scale * g) ** 2
    expected = [before[0] - rate * m / (np.sqrt(v) + epsilon), m, v]
    for found, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "gradient",
    [
        Merged(tf.ones((4, 2)), tf.zeros(0, tf.int32)),
        Merged(tf.ones((3, 4)), tf.zeros(0, tf.int32)),
        Merged(tf.ones((4, 2)), tf.zeros(4, tf.int32)),
        Merged(tf.ones((3, 3)), tf.zeros(3, tf.int32)),
    ],
)
def test_a_gradient_of_another_shape_is_refused(gradient):
    variables = [tf.Variable(tf.ones((4, 3))) for _ in range(3)]
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have the shape"):
        update(*variables, gradient, tf.ones(5))


def test_who_read_a_variable_before_keeps_what_was_there():
    variables = [tf.Variable(tf.ones((300, 1000))) for _ in range(3)]
    held = [variable.read_value() for variable in variables]
    numbers = tf.constant([0.1, 0.9, 0.99, 1e-3, 1.0])
    update(*variables, merge(tf.ones((300, 1000))), numbers)
    assert all((value.numpy() == 1).all() for value in held)
    assert not (variables[0].numpy() == 1).any()


def test_a_training_step_reaches_the_kernel():
    table, optimizer = keras.Variable(np.ones((9, 4), np.float32)), Adam(global_clipnorm=1.0)
    optimizer.build([table])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, [1, 1, 5]))
        optimizer.apply(tape.gradient(loss, [table.value]), [table])

    names = {operation.type for operation in step.get_concrete_function().graph.get_operations()}
    assert {"Seq2seqMergedSlices", "Seq2seqClippingScale", "Seq2seqAdam"} <= names
    assert "UnsortedSegmentSum" not in names


def test_a_row_that_is_not_there_is_refused():
    slices = tf.IndexedSlices(tf.ones((1, 4)), tf.constant([9]), tf.constant([9, 4]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not one of the table's rows"):
        merge(slices)
