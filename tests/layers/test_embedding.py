"""Embeddings are Keras' own; in mixed precision their gradients are summed in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.dense import ReversibleEmbedding
from seq2seq.layers.embedding import Embedding

PAIRS = [
    (Embedding, keras.layers.Embedding),
    (ReversibleEmbedding, keras.layers.ReversibleEmbedding),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_vectors_are_those_of_keras(ours, theirs, policy):
    mine, other = ours(7, 5, dtype=policy), theirs(7, 5, dtype=policy)
    ids = np.array([[1, 6, 6], [0, 3, 1]])
    expected = other(ids)
    mine.build()
    mine.set_weights(other.get_weights())
    found = mine(ids)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(tf.cast(found, tf.float32), tf.cast(expected, tf.float32))


@pytest.mark.parametrize("ours", [Embedding, ReversibleEmbedding])
def test_many_small_gradients_of_a_row_add_up_in_mixed_precision(ours):
    layer = ours(3, 2, dtype="mixed_bfloat16")
    ids = np.ones((1, 4000), np.int32)
    layer(ids)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(ids), tf.float32))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.embeddings.value))
    assert gradient.dtype == tf.float32
    np.testing.assert_array_equal(gradient, [[0, 0], [4000, 4000], [0, 0]])


def test_masks_are_those_of_keras():
    outputs = Embedding(7, 5, mask_zero=True)(np.array([[1, 0]]))
    np.testing.assert_array_equal(keras.src.backend.get_keras_mask(outputs), [[True, False]])


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, Embedding(7, 5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = np.array([[1, 6, 6]])
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert type(loaded.layers[1]) is Embedding
