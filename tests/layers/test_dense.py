"""Dense is Keras' own, number for number."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.layers.dense import Dense
from seq2seq.ops import dense


@pytest.mark.parametrize("way", ["plain", pytest.param("kernel", marks=pytest.mark.compiled)])
@pytest.mark.parametrize("shape", [(5,), (4, 7, 5), (2, 3, 2, 5), (0, 5)])
@pytest.mark.parametrize("options", [{}, {"activation": "tanh"}, {"use_bias": False}])
def test_results_and_gradients_are_those_of_keras(way, shape, options, monkeypatch):
    monkeypatch.setattr(dense, "usable", lambda *_: way == "kernel")
    shape = (3, *shape) if len(shape) == 1 else shape
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    found = []
    for layer in (Dense(40, **options), keras.layers.Dense(40, **options)):
        layer.build(shape)
        layer.set_weights(
            [np.random.default_rng(1).normal(size=v.shape) for v in layer.trainable_variables]
        )
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.sin(outputs))
        weights = [v.value for v in layer.trainable_variables]
        found.append([outputs, *tape.gradient(loss, [inputs, *weights])])
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("tanh", [False, True])
@given(st.integers(0, 70), st.integers(1, 1100), st.integers(1, 70), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_bfloat16_products_are_rounded_in_operands_and_results_alone(
    tanh, rows, inputs, outputs, seed
):
    generator = np.random.default_rng(seed)
    x, kernel, d_y = (
        tf.cast(generator.normal(size=size), tf.bfloat16)
        for size in ((rows, inputs), (inputs, outputs), (rows, outputs))
    )
    kernel = tf.cast(kernel, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = dense.product(x, kernel, tf.zeros(outputs), tanh=tanh)
    d_x, d_kernel = tape.gradient(y, [x, kernel], d_y)
    assert (y.dtype, d_x.dtype) == (tf.bfloat16, tf.bfloat16)
    x, kernel, d_y, y, d_x = (np.float64(np.float32(each)) for each in (x, kernel, d_y, y, d_x))
    expected = np.tanh(x @ kernel) if tanh else x @ kernel
    np.testing.assert_allclose(y, expected, rtol=2**-8, atol=1e-3)
    d = d_y * (1 - y**2) if tanh else d_y
    tolerance = {"rtol": 0.01, "atol": 0.01 * (1 + np.abs(d).sum(axis=0).max(initial=0))}
    np.testing.assert_allclose(d_kernel, x.T @ d, **(tolerance if tanh else {"atol": 1e-3}))
    np.testing.assert_allclose(d_x, d @ kernel.T, rtol=0.01, atol=0.1 if tanh else 1e-3)


@pytest.mark.compiled
def test_mixed_precision_keeps_its_types():
    layer = Dense(8, dtype="mixed_bfloat16")
    with tf.GradientTape() as tape:
        outputs = layer(tf.ones((2, 3, 5)), training=True)
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
    assert outputs.dtype == tf.bfloat16
    assert {g.dtype for g in tape.gradient(loss, [v.value for v in layer.weights])} == {tf.float32}


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input((5,))
    model = keras.Model(inputs, Dense(3, activation="tanh")(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(np.ones((2, 5))), model(np.ones((2, 5))))
    assert type(loaded.layers[1]) is Dense
