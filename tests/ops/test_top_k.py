"""The chunked top-k against TensorFlow's, and log-probabilities against numpy."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.decoding.log_probabilities import token_log_probabilities
from seq2seq.ops.top_k import top_k


@pytest.mark.parametrize("size", [3, 40, 401, 1000, 8003])
@pytest.mark.parametrize("k", [1, 3])
def test_the_largest_values_and_their_places(size, k):
    generator = np.random.default_rng(size)
    values = generator.permutation(6 * size).reshape(2, 3, size).astype(np.float32)
    values[1, 1, 2:] = -np.inf
    best, places = tf.function(top_k)(tf.constant(values), k)
    np.testing.assert_array_equal(best, -np.sort(-values)[..., :k])
    np.testing.assert_array_equal(np.take_along_axis(values, places.numpy(), axis=2), best)


def test_log_probabilities_of_given_tokens():
    generator = np.random.default_rng(0)
    logits = 9 * generator.normal(size=(2, 4, 7)).astype(np.float32)
    targets = generator.integers(0, 7, size=(2, 4)).astype(np.int32)
    expected = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    expected = np.take_along_axis(expected, targets[..., np.newaxis], axis=2)[..., 0]
    np.testing.assert_allclose(token_log_probabilities(logits, targets), expected, atol=1e-5)
