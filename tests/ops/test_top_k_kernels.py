"""The search's kernels against TensorFlow's own operations."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.ops.dispatch import inference_kernels
from seq2seq.ops.top_k import argmax, log_sum_exp, top_k

pytestmark = pytest.mark.compiled

SHAPES = [(3, 5, 6000), (1, 1, 7), (2, 3, 64), (0, 5, 100), (4, 1, 1001), (2, 2, 130)]


def values(shape, ties):
    drawn = np.random.default_rng(1).normal(size=shape).astype(np.float32) * 5
    drawn[drawn < -3] = -np.inf  # many: most of what rules leave is forbidden
    return np.round(drawn) if ties else drawn


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_against_tensorflow(shape, ties):
    given = values(shape, ties)
    with inference_kernels():
        total, peaks = log_sum_exp(given)
        expected = tf.reduce_logsumexp(given, axis=-1)
        np.testing.assert_allclose(total, expected, rtol=2e-6, atol=1e-6)
        for known in (None, peaks):
            for k in (1, 5, 7):
                expected = tf.math.top_k(given, k)
                for found, right in zip(top_k(given, k, known), expected, strict=True):
                    np.testing.assert_array_equal(found, right)
            np.testing.assert_array_equal(argmax(given, known), np.argmax(given, axis=-1))


def test_peaks_are_what_is_read():
    """Values above the peaks that were told are not looked for."""
    given = np.arange(256, dtype=np.float32).reshape(1, 1, 256)
    with inference_kernels():
        _, peaks = log_sum_exp(given)
        block = 256 // peaks.shape[-1]
        np.testing.assert_array_equal(peaks[0, 0], np.arange(block - 1, 256, block))
        hidden = tf.concat([peaks[..., :-1], [[[-1.0]]]], axis=-1)
        assert top_k(given, 1, hidden)[1].numpy() == [[[255 - block]]]


def test_a_row_that_holds_no_numbers_still_has_places():
    given = np.full((1, 2, 100), np.nan, np.float32)
    given[0, 1, 7] = 1
    with inference_kernels():
        places = top_k(given, 3)[1].numpy()
    assert ((places >= 0) & (places < 100)).all()


def test_rows_without_any_candidate():
    nothing = np.full((1, 2, 100), -np.inf, np.float32)
    with inference_kernels():
        total, peaks = log_sum_exp(nothing)
        assert (total.numpy() == -np.inf).all()
        for known in (None, peaks):
            assert (top_k(nothing, 3, known)[1].numpy() == [0, 1, 2]).all()


def test_more_than_there_are_is_refused():
    with inference_kernels(), pytest.raises(tf.errors.InvalidArgumentError, match="k must be"):
        top_k(np.zeros((1, 1, 3), np.float32), 4)


def test_shapes_stay_known():
    with inference_kernels():

        @tf.function(input_signature=[tf.TensorSpec((None, 5, 40), tf.float32)])
        def search(given):
            found, places = top_k(given, 2)
            assert found.shape.as_list() == places.shape.as_list() == [None, 5, 2]
            assert log_sum_exp(given)[0].shape.as_list() == [None, 5]
            return found

        search(np.zeros((3, 5, 40), np.float32))
