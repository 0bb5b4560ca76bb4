"""The Mogrifier LSTM against the equations of its paper, step by step in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.bridge import ZeroBridge
from seq2seq.layers.mogrifier_lstm import MogrifierLSTM
from seq2seq.layers.recurrent import LSTM
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator

FEATURES, UNITS, ROWS, TIME = 3, 4, 3, 5
GENERATOR = np.random.default_rng(6)
INPUTS = GENERATOR.normal(size=(ROWS, TIME, FEATURES)).astype("float32")
MASK = np.array([[True] * 5, [False, True, True, False, True], [False] * 5])


def randomized(layer):
    layer.build((None, None, FEATURES))
    for weight in layer.trainable_variables:
        weight.assign(GENERATOR.normal(size=weight.shape))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def paper_step(layer, x, h, c):
    """Melis et al. (2020), equations 1 and 2, then an LSTM."""
    matrices = [weight.numpy() for weight in layer.round_kernels]
    for i, matrix in enumerate(matrices, start=1):
        if i % 2 == 1:
            x = 2 * sigmoid(h @ matrix) * x
        else:
            h = 2 * sigmoid(x @ matrix) * h
    kernel, recurrent, bias = (weight.numpy() for weight in layer.op_weights())
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize("rounds", [1, 2, 5])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "holes"])
@pytest.mark.parametrize("go_backwards", [False, True])
def test_each_step_is_the_papers(rounds, mask, go_backwards):
    options = dict(return_sequences=True, return_state=True, go_backwards=go_backwards)
    layer = randomized(MogrifierLSTM(UNITS, rounds=rounds, **options))
    h, c = GENERATOR.normal(size=(2, ROWS, UNITS)).astype("float32")
    outputs, *states = layer(INPUTS, initial_state=[h, c], mask=mask)
    sequences = layer.state_sequences(INPUTS, [h, c], mask)
    for step in range(TIME)[:: -1 if go_backwards else 1]:
        new_h, new_c = paper_step(layer, INPUTS[:, step], h, c)
        real = np.ones((ROWS, 1), bool) if mask is None else mask[:, step, None]
        h, c = np.where(real, new_h, h), np.where(real, new_c, c)
        place = TIME - 1 - step if go_backwards else step
        np.testing.assert_allclose(outputs[:, place][real[:, 0]], h[real[:, 0]], atol=1e-5)
        np.testing.assert_allclose(sequences["hidden"][:, step], h, atol=1e-5)
        np.testing.assert_allclose(sequences["cell"][:, step], c, atol=1e-5)
    np.testing.assert_allclose(states, [h, c], atol=1e-5)


def test_gates_of_a_half_leave_an_lstm():
    """With matrices of zeros, input and state are as they were."""
    layer = randomized(MogrifierLSTM(UNITS, return_sequences=True))
    for weight in layer.round_kernels:
        weight.assign(tf.zeros(weight.shape))
    plain = LSTM(UNITS, return_sequences=True)
    plain.build((None, None, FEATURES))
    plain.set_weights([weight.numpy() for weight in layer.op_weights()])
    np.testing.assert_allclose(layer(INPUTS), plain(INPUTS), atol=1e-5)


def test_gradients_reach_all_weights():
    layer = randomized(MogrifierLSTM(UNITS, zoneout=0.2, weight_dropout=0.1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(INPUTS, mask=MASK, training=True) ** 2)
    for gradient in tape.gradient(loss, [each.value for each in layer.trainable_variables]):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_is_a_cell_of_encoders_and_decoders(policy):
    encoder = Encoder("mogrifier_lstm", units=[UNITS, 5], dtype=policy)
    outputs, states = encoder(INPUTS, np.array([5, 3, 0]))
    assert outputs.shape == (ROWS, TIME, 10)
    assert sorted(states[1]["backward"]) == ["c", "h"]
    assert np.isfinite(tf.cast(outputs, tf.float32)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MogrifierLSTM(4, rounds=0), "rounds: must be a whole number of at least 1"),
        (lambda: MogrifierLSTM(4, activation="relu"), "MogrifierLSTM: needs the activations tanh"),
        (
            lambda: Translator(
                9, 9, Encoder(units=4), Decoder("mogrifier_lstm", 4), ZeroBridge, int8_search=True
            ),
            r"int8_search: .* only with cell=lstm or gru",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
