"""Layers with `dtype="bfloat16"`, whose weights are kept in bfloat16, against Keras' layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.dense import Dense
from seq2seq.layers.embedding import Embedding, ReversibleEmbedding
from seq2seq.layers.recurrent import GRU, LSTM
from seq2seq.ops.cross_entropy import logit_statistics
from seq2seq.ops.dispatch import PackedWeights, inference_kernels

RECURRENT = {"recurrent_initializer": "glorot_uniform", "return_sequences": True}
LAYERS = {
    "lstm": (LSTM, (6,), RECURRENT),
    "lstm without bias": (LSTM, (6,), RECURRENT | {"use_bias": False}),
    "gru": (GRU, (6,), RECURRENT),
    "gru that resets before": (GRU, (6,), RECURRENT | {"reset_after": False}),
    "dense": (Dense, (6,), {}),
    "dense, tanh": (Dense, (6,), {"activation": "tanh"}),
    "embedding": (Embedding, (9, 4), {}),
    "reversible embedding": (ReversibleEmbedding, (9, 4), {}),
}


def pair(name, steps=5):
    """Returns our layer and Keras' with the same weights, and what goes in."""
    kind, arguments, options = LAYERS[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, steps, 4)).astype("float32")
    if "embedding" in name:
        x = rng.integers(0, 9, (3, steps))
    ours, stock = (
        each(*arguments, dtype="bfloat16", **options)
        for each in (kind, getattr(keras.layers, kind.__name__))
    )
    ours(x), stock(x)
    ours.set_weights(stock.get_weights())
    return ours, stock, x


def assert_close(found, expected):
    assert found.dtype == expected.dtype == tf.bfloat16
    np.testing.assert_allclose(np.float32(found), np.float32(expected), rtol=0.03, atol=0.02)


@pytest.mark.parametrize("name", LAYERS)
def test_training(name):
    ours, stock, x = pair(name)
    found = []
    for layer in (ours, stock):
        training = {} if layer is stock and "embedding" in name else {"training": True}
        with tf.GradientTape() as tape:
            y = layer(x, **training)
            loss = tf.reduce_mean(tf.cast(y, tf.float32) ** 2)
        gradients = tape.gradient(loss, [each.value for each in layer.trainable_variables])
        found.append([y, *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", LAYERS)
def test_graphs_that_stay_here(name):
    ours, stock, x = pair(name)
    with inference_kernels():
        found = tf.function(ours)(x)
    assert_close(found, stock(x))


@pytest.mark.compiled
@pytest.mark.parametrize("name", LAYERS)
def test_steps_of_a_search(name):
    ours, stock, x = pair(name, steps=1)
    weights = PackedWeights()
    with inference_kernels(), weights.in_use():
        found = tf.function(ours)(x)
    assert_close(tf.cast(found, tf.bfloat16), stock(x))  # logits of a search are float32


@pytest.mark.compiled
def test_logits():
    rng = np.random.default_rng(1)
    features, kernel = (tf.cast(rng.normal(size=s), tf.bfloat16) for s in ((6, 3), (3, 4)))
    labels = tf.constant([1, 0, 3, 0, 2, 1])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        found = logit_statistics(features, kernel, None, labels)
        loss = tf.reduce_mean(found.log_normalizer - found.label_logit)
    gradient = tape.gradient(loss, kernel)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        logits = tf.cast(features, tf.float32) @ tf.cast(kernel, tf.float32)
        expected = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
    np.testing.assert_allclose(loss, expected, rtol=0.02)
    assert_close(gradient, tape.gradient(expected, kernel))
