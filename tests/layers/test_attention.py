"""Attentions against plain numpy, row by row without padding."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.attention import LuongAttention

UNITS, WIDTH = 4, 6


def inputs(widths=(WIDTH, UNITS), rows=3, source_length=5, steps=2, seed=0):
    """Returns encoder outputs, their lengths (one of them 0) and queries."""
    generator = np.random.default_rng(seed)
    outputs = generator.normal(size=(rows, source_length, widths[0])).astype("float32")
    query = generator.normal(size=(rows, steps, widths[1])).astype("float32")
    return tf.constant(outputs), tf.constant([source_length, 2, 0][:rows]), tf.constant(query)


def attend(attention, outputs, lengths, query):
    memory = attention.prepare(outputs, lengths)
    return attention(query, memory, attention.initial_state(memory))


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("score", ["general", "dot", "scaled_dot"])
def test_luong(score):
    attention = LuongAttention(UNITS, score)
    outputs, lengths, query = inputs((WIDTH if score == "general" else UNITS, UNITS))
    context, weights, state = attend(attention, outputs, lengths, query)
    assert state == {}
    for row, length in enumerate(lengths):
        values = outputs[row, :length].numpy()
        keys = values @ attention.get_weights()[0] if score == "general" else values
        scores = query[row].numpy() @ keys.T / (UNITS**0.5 if score == "scaled_dot" else 1)
        expected = softmax(scores) if length else scores
        np.testing.assert_allclose(weights[row, :, :length], expected, atol=1e-6)
        np.testing.assert_allclose(context[row], expected @ values, atol=1e-6)
        assert not weights[row, :, length:].numpy().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(score="generall"), "score: must be general, dot, scaled_dot or concat"),
        (dict(score="dot"), "'dot' needs encoder outputs as wide as the decoder; they have 6 and"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(options, message):
    with pytest.raises(ValueError, match=message):
        attend(LuongAttention(UNITS, **options), *inputs())
