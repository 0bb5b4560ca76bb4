"""Layer normalisation and zoneout, against the equations of their papers in numpy and Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.bridge import ZeroBridge
from seq2seq.layers.layer_norm_lstm import LayerNormLSTM
from seq2seq.layers.recurrent import GRU, LSTM, both_directions
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator

FEATURES, UNITS, ROWS, TIME = 3, 4, 2, 5
CELLS = {
    "lstm": (LSTM, keras.layers.LSTMCell, {}),
    "gru": (GRU, keras.layers.GRUCell, {}),
    "gru_reset_before": (GRU, keras.layers.GRUCell, {"reset_after": False}),
}
GENERATOR = np.random.default_rng(3)
INPUTS = GENERATOR.normal(size=(ROWS, TIME, FEATURES)).astype("float32")
MASK = np.array([[True] * 5, [True, True, True, False, False]])


def randomized(layer):
    layer.build((None, None, FEATURES))
    for weight in layer.trainable_variables:
        weight.assign(GENERATOR.normal(size=weight.shape))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def layer_norm_step(layer, x, h, c):
    """Ba et al. (2016), equations 20 to 22, for each gate."""
    kernel, recurrent, bias = (w.numpy() for w in layer.op_weights())
    gates = []
    for gate in range(4):
        own = slice(gate * UNITS, (gate + 1) * UNITS)
        gates.append(
            layer.kernel_gain.numpy()[own] * norm(x @ kernel[:, own])
            + layer.recurrent_gain.numpy()[own] * norm(h @ recurrent[:, own])
            + bias[own]
        )
    i, f, g, o = sigmoid(gates[0]), sigmoid(gates[1]), np.tanh(gates[2]), sigmoid(gates[3])
    c = f * c + i * g
    return o * np.tanh(layer.cell_gain.numpy() * norm(c) + layer.cell_offset.numpy()), c


@pytest.mark.parametrize("go_backwards", [False, True])
def test_layer_norm_lstm_is_the_papers(go_backwards):
    layer = randomized(
        LayerNormLSTM(UNITS, return_sequences=True, return_state=True, go_backwards=go_backwards)
    )
    h, c = GENERATOR.normal(size=(2, ROWS, UNITS)).astype("float32")
    outputs, *states = layer(INPUTS, initial_state=[h, c], mask=MASK)
    gates = layer.state_sequences(INPUTS, [h, c], MASK)
    for step in range(TIME)[:: -1 if go_backwards else 1]:
        new_h, new_c = layer_norm_step(layer, INPUTS[:, step], h, c)
        real = MASK[:, step, None]
        h, c = np.where(real, new_h, h), np.where(real, new_c, c)
        place = TIME - 1 - step if go_backwards else step
        np.testing.assert_allclose(outputs[:, place][MASK[:, step]], h[MASK[:, step]], atol=1e-5)
        np.testing.assert_allclose(gates["cell"][:, step], c, atol=1e-5)
    np.testing.assert_allclose(states[0], h, atol=1e-5)
    np.testing.assert_allclose(states[1], c, atol=1e-5)
    assert {"input_gate", "forget_gate", "candidate", "output_gate"} < gates.keys()


def stepped(layer, cell_class, arguments, states, rates):
    """Keras' cell, stepped by hand, with shares of the states before."""
    cell = cell_class(UNITS, **arguments)
    cell.build((None, FEATURES))
    cell.set_weights([weight.numpy() for weight in layer.trainable_variables])
    outputs = []
    for step in range(TIME):
        _, after = cell(INPUTS[:, step], states)
        after = after if isinstance(after, list) else [after]
        states = [
            np.where(MASK[:, step, None], rate * old + (1 - rate) * new, old)
            for rate, old, new in zip(rates, states, after, strict=True)
        ]
        outputs.append(states[0])
    return np.stack(outputs, axis=1), states


@pytest.mark.parametrize("cell", CELLS)
def test_prediction_takes_the_expectation_of_zoneout(cell):
    layer_class, cell_class, arguments = CELLS[cell]
    rates = [0.2, 0.6] if cell == "lstm" else [0.3]
    layer = layer_class(UNITS, zoneout=rates, return_sequences=True, return_state=True, **arguments)
    randomized(layer)
    states = [GENERATOR.normal(size=(ROWS, UNITS)).astype("float32") for _ in rates]
    outputs, *finals = layer(INPUTS, initial_state=states, mask=MASK)
    expected, expected_finals = stepped(layer, cell_class, arguments, states, rates)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(finals, expected_finals, atol=1e-5)
    np.testing.assert_allclose(
        layer.state_sequences(INPUTS, states, MASK)["hidden"], expected, atol=1e-5
    )


@pytest.mark.parametrize("cell", CELLS)
def test_in_training_each_unit_stays_with_that_probability(cell):
    layer_class, _, arguments = CELLS[cell]
    rates = [0.2, 0.6] if cell == "lstm" else [0.3]
    options = dict(return_state=True, seed=1, **arguments)
    layer, plain = layer_class(UNITS, zoneout=rates, **options), layer_class(UNITS, **options)
    randomized(layer)
    plain.build((None, None, FEATURES))
    plain.set_weights(layer.get_weights())
    rows = 500
    inputs = np.tile(INPUTS[:1, :1], (rows, 1, 1))
    before = [np.tile(GENERATOR.normal(size=(1, UNITS)), (rows, 1)) for _ in rates]
    before = [tf.constant(state, tf.float32) for state in before]
    with tf.GradientTape() as tape:
        after = layer(inputs, initial_state=before, training=True)[1:]
        loss = tf.reduce_sum(after[0])
    new = plain(inputs, initial_state=before)[1:]
    for rate, old, ours, theirs in zip(rates, before, after, new, strict=True):
        stays = ours == old
        if theirs is new[0] and cell == "lstm":  # h, which is made of c before its own zoneout
            np.testing.assert_allclose(ours[~stays], theirs[~stays], atol=1e-6)
        np.testing.assert_allclose(np.where(stays, theirs, ours), theirs, atol=1e-6)
        assert np.mean(stays) == pytest.approx(rate, abs=0.05)
    gradient = tape.gradient(loss, layer.trainable_variables[0].value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_the_next_steps_draw_other_units():
    layer = randomized(GRU(UNITS, zoneout=0.5, return_sequences=True))
    one, other = (layer(INPUTS, training=True).numpy() for _ in range(2))
    assert not np.allclose(one, other)
    stays = one[:, 1:] == one[:, :-1]
    assert np.count_nonzero(stays[:, 0] != stays[:, 1]) > 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_both_directions_of_an_encoder(policy):
    options = dict(units=UNITS, zoneout=[0.1, 0.4], dtype=policy)
    encoder = Encoder("layer_norm_lstm", **options)
    outputs, states = encoder(INPUTS, np.array([5, 3]))
    [forward], [backward] = encoder.forward_stack, encoder.backward_stack
    left, _, c = forward(INPUTS, mask=MASK)
    right, *_ = backward(INPUTS, mask=MASK)
    expected = tf.concat([left, tf.reverse(right, [1])], -1)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), tf.cast(expected, tf.float32))
    np.testing.assert_allclose(states[0]["forward"]["c"], c)
    assert encoder.drops


def test_rows_of_padding_alone_keep_their_states():
    layers = [LSTM(UNITS, zoneout=0.2, return_sequences=True, return_state=True,
                   go_backwards=backwards) for backwards in (False, True)]  # fmt: skip
    mask = np.array([[True] * 5, [False] * 5])
    outputs, states, _ = both_directions(*layers, tf.constant(INPUTS), tf.constant(mask))
    assert (outputs[1] == 0).numpy().all()
    assert (states[0][1] == 0).numpy().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRU(4, zoneout=[0.1, 0.2]), r"zoneout: \[0.1, 0.2\] are 2 rates, .* 1 state"),
        (lambda: LSTM(4, zoneout=1.0), "zoneout: must be at least 0 and below 1"),
        (lambda: LSTM(4, zoneout="a"), "zoneout: must be a number, or a list of them"),
        (lambda: LSTM(4, zoneout=0.1, activation="relu"), "zoneout: needs the activations tanh"),
        (lambda: LayerNormLSTM(4, recurrent_dropout=0.1), "layer normalisation: needs"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_that_do_not_fit_are_refused():
    layer = randomized(LSTM(UNITS, zoneout=0.2))
    with pytest.raises(ValueError, match="do not fit"):
        layer(INPUTS, initial_state=[np.zeros((ROWS, 3))] * 2)


@pytest.mark.parametrize("decoder", [{"zoneout": 0.1}, {"cell": "layer_norm_lstm"}])
def test_searches_in_8_bits_need_other_layers(decoder):
    with pytest.raises(ValueError, match=r"int8_search: .* only with cell=lstm or gru"):
        Translator(
            9, 9, Encoder(units=4), Decoder(units=4, **decoder), ZeroBridge, int8_search=True
        )
