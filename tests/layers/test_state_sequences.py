"""States and gates of every step are those of stock Keras' cells, stepped by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.call_recorder import recorded_calls
from seq2seq.layers.recurrent import GRU, LSTM

LAYERS = {
    "lstm": (LSTM, keras.layers.LSTMCell, {}),
    "gru": (GRU, keras.layers.GRUCell, {}),
    "gru_reset_before": (GRU, keras.layers.GRUCell, {"reset_after": False}),
}
BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
MASK = np.arange(TIME) < np.array([[6], [4], [0]])

cells = pytest.mark.parametrize("cell", LAYERS)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def layer_and_cell(name, **options):
    layer_class, cell_class, arguments = LAYERS[name]
    layer, cell = layer_class(UNITS, **arguments, **options), cell_class(UNITS, **arguments)
    layer.build((None, None, FEATURES))
    cell.build((None, FEATURES))
    weights = [drawn(*each.shape, seed=n) for n, each in enumerate(cell.get_weights())]
    layer.set_weights(weights)
    cell.set_weights(weights)
    return layer, cell


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@cells
@pytest.mark.parametrize("go_backwards", [False, True])
def test_states_are_those_of_a_keras_cell_stepped_by_hand(cell, go_backwards):
    layer, stepped = layer_and_cell(cell, go_backwards=go_backwards)
    inputs = drawn(BATCH, TIME, FEATURES)
    states = [drawn(BATCH, UNITS, seed=5 + n) for n in range(2 if cell == "lstm" else 1)]
    found = layer.state_sequences(inputs, states, MASK)
    for t in reversed(range(TIME)) if go_backwards else range(TIME):
        _, after = stepped(inputs[:, t], states)
        after = after if isinstance(after, list | tuple) else [after]
        states = [
            np.where(MASK[:, t : t + 1], new, old) for new, old in zip(after, states, strict=True)
        ]
        for name, state in zip(("hidden", "cell"), states, strict=False):
            np.testing.assert_allclose(found[name][:, t], state, atol=1e-5)


def test_gates_of_an_lstm():
    layer, _ = layer_and_cell("lstm")
    inputs = drawn(BATCH, TIME, FEATURES)
    found = {name: values.numpy() for name, values in layer.state_sequences(inputs).items()}
    kernel, recurrent_kernel, bias = layer.get_weights()
    before = np.pad(found["hidden"], ((0, 0), (1, 0), (0, 0)))[:, :-1]
    i, f, g, o = np.split(inputs @ kernel + before @ recurrent_kernel + bias, 4, axis=-1)
    expected = {
        "input_gate": sigmoid(i),
        "forget_gate": sigmoid(f),
        "candidate": np.tanh(g),
        "output_gate": sigmoid(o),
    }
    assert set(found) == {"hidden", "cell", *expected}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "gru_reset_before"])
def test_gates_of_a_gru_make_its_state(cell):
    layer, _ = layer_and_cell(cell)
    inputs = drawn(BATCH, TIME, FEATURES)
    found = {name: values.numpy() for name, values in layer.state_sequences(inputs).items()}
    assert set(found) == {"hidden", "update_gate", "reset_gate", "candidate"}
    kernel, recurrent_kernel, bias = layer.get_weights()
    before = np.pad(found["hidden"], ((0, 0), (1, 0), (0, 0)))[:, :-1]
    x = inputs @ kernel + (bias[0] if bias.ndim == 2 else bias)
    inner = before @ recurrent_kernel + (bias[1] if bias.ndim == 2 else 0)
    gates = sigmoid(x + inner)
    np.testing.assert_allclose(found["update_gate"], gates[..., :UNITS], atol=1e-5)
    np.testing.assert_allclose(found["reset_gate"], gates[..., UNITS : 2 * UNITS], atol=1e-5)
    z = found["update_gate"]
    np.testing.assert_allclose(
        found["hidden"], z * before + (1 - z) * found["candidate"], atol=1e-5
    )


@cells
@pytest.mark.parametrize("go_backwards", [False, True])
def test_the_last_states_are_those_the_layer_returns(cell, go_backwards):
    layer, _ = layer_and_cell(
        cell, go_backwards=go_backwards, return_sequences=True, return_state=True
    )
    inputs = drawn(BATCH, TIME, FEATURES)
    with recorded_calls() as calls:
        sequence, *states = layer(inputs, mask=tf.constant(MASK))
    assert [call.layer for call in calls] == [layer]
    found = layer.state_sequences(*calls[0][1:])
    last = 0 if go_backwards else -1
    for name, state in zip(("hidden", "cell"), states, strict=False):
        np.testing.assert_allclose(found[name][:, last], state, atol=1e-6)
    in_order = sequence[:, ::-1] if go_backwards else sequence
    np.testing.assert_allclose(found["hidden"][0], in_order[0], atol=1e-6)


def test_nothing_is_recorded_in_graphs_or_afterwards():
    layer, _ = layer_and_cell("lstm")
    with recorded_calls() as calls:
        tf.function(layer)(drawn(BATCH, TIME, FEATURES))
    layer(drawn(BATCH, TIME, FEATURES))
    assert calls == []


def test_other_activations_are_refused():
    layer = LSTM(UNITS, activation="relu")
    with pytest.raises(ValueError, match="tanh and sigmoid"):
        layer.state_sequences(drawn(BATCH, TIME, FEATURES))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_states_of_every_step_are_part_of_a_functional_model(kind, tmp_path):
    layer = kind(UNITS, go_backwards=True)
    sequences, mask = keras.Input((None, 4)), keras.Input((None,), dtype="bool")
    start = [keras.Input((UNITS,)) for _ in range(2 if kind is LSTM else 1)]
    found = layer.state_sequences(sequences, start, mask)
    # The same layer is called after and for its outputs, too: one set of weights, when loaded.
    model = keras.Model([sequences, mask, *start], {**found, "last": layer(sequences)})
    generator = np.random.default_rng(3)
    values = generator.normal(size=(3, 5, 4)).astype("float32")
    real = np.arange(5) < np.array([[5], [2], [0]])
    states = [generator.normal(size=(3, UNITS)).astype("float32") for _ in start]
    expected = layer.state_sequences(values, states, real)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.weights) == len(layer.weights)
    for each in (model, loaded):
        outputs = each([values, real, *states])
        np.testing.assert_allclose(outputs.pop("last"), layer(values), atol=1e-6)
        assert set(outputs) == set(expected)
        for name, output in outputs.items():
            np.testing.assert_allclose(output, expected[name], atol=1e-6)
            assert model.output[name].shape[1:] == (None, UNITS)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_bfloat16_weights_learn_as_float32_ones_do(kind):
    values = np.random.default_rng(3).normal(size=(3, 5, 4)).astype("float32")
    exact, coarse = kind(UNITS), kind(UNITS, dtype="bfloat16")
    exact(values)
    coarse(values)
    coarse.set_weights(exact.get_weights())
    gradients = []
    for layer in (exact, coarse):
        assert all(weight.dtype == layer.variable_dtype for weight in layer.weights)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(values, training=True), tf.float32) ** 2)
        gradients.append(tape.gradient(loss, layer.trainable_weights))
    for one, other in zip(*gradients, strict=True):
        assert other.dtype == tf.bfloat16
        np.testing.assert_allclose(one, tf.cast(other, tf.float32), atol=0.05, rtol=0.05)
