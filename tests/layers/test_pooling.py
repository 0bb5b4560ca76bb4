"""Each pooling against numpy, row by row, without padding."""

import keras
import numpy as np
import pytest

from seq2seq.layers.dropout import WordDropout
from seq2seq.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling

LENGTHS = np.array([5, 1, 3, 0], np.int32)


@pytest.fixture
def outputs():
    values = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    for row, length in enumerate(LENGTHS):
        values[row, length:] = 9.0  # what padding holds must not matter
    return values


def numpy_attention(layer, rows):
    kernel, bias, query = (np.array(weight) for weight in layer.weights)
    scores = np.tanh(rows @ kernel + bias) @ query[:, 0]
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


CASES = {
    "last": (LastPooling(), lambda rows, _: rows[-1]),
    "last of both directions": (
        LastPooling(bidirectional=True),
        lambda rows, _: np.concatenate([rows[-1, :3], rows[0, 3:]]),
    ),
    "mean": (MeanPooling(), lambda rows, _: rows.mean(axis=0)),
    "max": (MaxPooling(), lambda rows, _: rows.max(axis=0)),
    "attention": (AttentionPooling(7), lambda rows, layer: numpy_attention(layer, rows) @ rows),
}


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name, outputs):
    layer, expected = CASES[name]
    pooled = np.array(layer(outputs, LENGTHS))
    for row, length in enumerate(LENGTHS):
        if length:
            np.testing.assert_allclose(
                pooled[row], expected(outputs[row, :length], layer), atol=1e-5
            )
        else:
            np.testing.assert_array_equal(pooled[row], 0)


def test_attention_weights_are_those_of_the_mean(outputs):
    layer = AttentionPooling(4)
    pooled, weights = layer(outputs, LENGTHS, return_weights=True)
    np.testing.assert_allclose(
        np.array(pooled), np.einsum("bs,bsu->bu", weights, outputs), atol=1e-6
    )
    np.testing.assert_allclose(np.array(weights).sum(axis=1), LENGTHS > 0, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(weights[row, length:], 0)


@pytest.mark.parametrize("layer", [LastPooling(True), MeanPooling(), AttentionPooling(3)])
def test_bfloat16_outputs_stay_bfloat16(layer, outputs):
    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    assert half(keras.ops.cast(outputs, "bfloat16"), LENGTHS).dtype == "bfloat16"


def test_word_dropout_replaces_a_share_in_training_only():
    ids = np.full((200, 50), 7)
    layer = WordDropout(0.3, unknown=1, seed=3)
    np.testing.assert_array_equal(layer(ids), ids)
    dropped = np.array(layer(ids, training=True))
    assert set(np.unique(dropped)) == {1, 7}
    assert (dropped == 1).mean() == pytest.approx(0.3, abs=0.02)
    with pytest.raises(ValueError, match="rate: must be"):
        WordDropout(1.0)
