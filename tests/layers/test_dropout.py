"""Dropout drops the share it is asked to, anew each time, and its gradient the same elements."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.dropout import Dropout
from seq2seq.ops import dropout


@pytest.fixture(params=["plain", pytest.param("kernel", marks=pytest.mark.compiled)])
def way(request, monkeypatch):
    """Drops with TensorFlow's operations, and with the kernel."""
    monkeypatch.setattr(dropout, "usable", lambda *_, **__: request.param == "kernel")
    return request.param


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_scale_and_gradient(way, rate):
    inputs = tf.constant(np.random.default_rng(0).normal(size=(100, 50, 40)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = Dropout(rate, seed=3)(inputs, training=True)
        loss = tf.reduce_sum(outputs * 2)
    kept = outputs.numpy() != 0
    assert abs(kept.mean() - (1 - rate)) < 0.005
    for axis in range(3):  # no position is preferred
        others = tuple({0, 1, 2} - {axis})
        assert np.abs(kept.mean(axis=others) - (1 - rate)).max() < 0.05
    np.testing.assert_allclose(outputs, np.where(kept, inputs / (1 - rate), 0), rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, inputs), np.where(kept, 2 / (1 - rate), 0), 1e-5)


def test_neighbours_and_calls_are_independent(way):
    layer, ones = Dropout(0.5, seed=1), tf.ones(200_000)
    first, second = (layer(ones, training=True).numpy() > 0 for _ in range(2))
    assert abs((first == second).mean() - 0.5) < 0.01
    for distance in (1, 2, 7, 64, 512):
        assert abs((first[distance:] == first[:-distance]).mean() - 0.5) < 0.01


def test_the_same_seed_drops_the_same(way):
    outputs = [Dropout(0.5, seed=7)(tf.ones((9, 9)), training=True) for _ in range(2)]
    np.testing.assert_array_equal(*outputs)


def test_nothing_is_dropped_outside_training(way):
    ones = tf.ones((3, 4))
    np.testing.assert_array_equal(Dropout(0.5)(ones), ones)
    np.testing.assert_array_equal(Dropout(0.5)(ones, training=False), ones)
    np.testing.assert_array_equal(Dropout(0.0)(ones, training=True), ones)


def test_noise_shape_is_that_of_keras(way):
    outputs = Dropout(0.5, noise_shape=(None, 1), seed=2)(tf.ones((50, 6)), training=True).numpy()
    assert set(outputs.sum(axis=1)) == {0.0, 12.0}


def test_in_a_model_and_in_other_types(way):
    inputs = keras.Input((6,))
    model = keras.Model(inputs, Dropout(0.5)(inputs))
    assert model(np.ones((3, 6)), training=True).shape == (3, 6)
    outputs = Dropout(0.5, dtype="bfloat16")(tf.ones((3, 6), tf.bfloat16), training=True)
    assert outputs.dtype == tf.bfloat16
