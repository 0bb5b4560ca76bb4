"""Embeddings are Keras' own; in mixed precision their gradients are summed in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.embedding import Embedding, ReversibleEmbedding

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


IDS = {
    "negative": np.array([[-1, 2], [-7, 3]]),
    "below the first": np.array([-8]),
    "above the last": np.array([7], np.int32),
    "above int32": np.array([2**32 + 1]),
    "below int32": np.array([1 - 2**32]),
    "unsigned": np.array([3, 250], np.uint8),
    "negative bytes": np.array([3, -2], np.int8),
    "fractions": np.array([1.7, -1.7], np.float32),
    "booleans": np.array([True, False]),
    "none": np.zeros((0, 2), np.int64),
}


def vectors_and_gradient(layer, ids, **arguments):
    try:
        with tf.GradientTape() as tape:
            vectors = layer(ids, **arguments)
            loss = tf.reduce_sum(vectors**2)
    except tf.errors.InvalidArgumentError:
        return None
    gradient = tape.gradient(loss, layer.embeddings.value)
    return vectors.numpy(), tf.convert_to_tensor(gradient).numpy()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("kind", IDS)
def test_ids_of_all_kinds_are_taken_as_by_keras(ours, theirs, kind):
    mine, other = ours(7, 5), theirs(7, 5)
    for each in (mine, other):
        each.build()
        each.set_weights([np.random.default_rng(1).normal(size=(7, 5))])
    expected = vectors_and_gradient(other, IDS[kind])
    for arguments in ({"training": True}, {}):
        found = vectors_and_gradient(mine, IDS[kind], **arguments)
        assert (found is None) == (expected is None)
        for one, same in zip(found or (), expected or (), strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("make", [tf.RaggedTensor.from_tensor, tf.sparse.from_dense])
def test_ragged_and_sparse_ids_are_left_to_keras(make):
    mine, other = Embedding(7, 5), keras.layers.Embedding(7, 5)
    ids = make(tf.constant([[1, -2], [3, 1]]))
    expected = other(ids)
    mine.build()
    mine.set_weights(other.get_weights())
    for one, same in zip(*map(tf.nest.flatten, (mine(ids), expected)), strict=True):
        np.testing.assert_array_equal(
            *[tf.nest.flatten(x, expand_composites=True)[0] for x in (one, same)]
        )


def test_masks_are_those_of_keras():
    seen = []

    class Spy(keras.layers.Layer):
        supports_masking = True

        def call(self, x, mask=None):
            seen.append(mask)
            return x

    for layer in (Embedding, keras.layers.Embedding):
        keras.Sequential([layer(7, 5, mask_zero=True), Spy()])(np.array([[1, 0]]))
        np.testing.assert_array_equal(seen.pop(), [[True, False]])


def test_saved_and_loaded(tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, Embedding(7, 5)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ids = np.array([[1, 6, 6]])
    np.testing.assert_array_equal(loaded(ids), model(ids))
    assert type(loaded.layers[1]) is Embedding
