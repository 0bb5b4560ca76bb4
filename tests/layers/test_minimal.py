"""minGRU and minLSTM against the recurrences of their paper, step by step in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.bridge import ZeroBridge
from seq2seq.layers.minimal import MinGRU, MinLSTM
from seq2seq.layers.recurrent import both_directions
from seq2seq.models.decoder import Decoder
from seq2seq.models.encoder import Encoder
from seq2seq.models.translator import Translator

FEATURES, UNITS, ROWS, TIME = 3, 4, 3, 6
GENERATOR = np.random.default_rng(5)
INPUTS = GENERATOR.normal(size=(ROWS, TIME, FEATURES)).astype("float32")
LEFT_AND_RIGHT = np.array([[True] * 6, [False, True, True, False, True, False], [False] * 6])
MASKS = {"no mask": None, "holes": LEFT_AND_RIGHT, "one for all rows": LEFT_AND_RIGHT[1:2]}
LAYERS = [MinGRU, MinLSTM]


def randomized(layer, scale=1.0):
    layer.build((None, None, FEATURES))
    for weight in layer.trainable_variables:
        weight.assign(scale * GENERATOR.normal(size=weight.shape))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def positive(x):
    """Feng et al. (2024), appendix B: g."""
    return np.where(x >= 0, x + 0.5, sigmoid(x))


def paper_step(layer, x, h):
    """Feng et al. (2024), algorithms 6 and 8: one step of either, from `(rows, features)`."""
    kernel, bias = (weight.numpy().astype("float64") for weight in layer.trainable_variables)
    gates = np.split(x @ kernel + bias, kernel.shape[1] // UNITS, axis=-1)
    if isinstance(layer, MinGRU):
        z, candidate = sigmoid(gates[0]), positive(gates[1])
        return (1 - z) * h + z * candidate
    f, i, candidate = sigmoid(gates[0]), sigmoid(gates[1]), positive(gates[2])
    return f / (f + i) * h + i / (f + i) * candidate


def stepped(layer, inputs, h, mask, stay=0.0):
    """Returns the state after each step, in the order of the loop."""
    states = []
    for step in range(inputs.shape[1]):
        new = stay * h + (1 - stay) * paper_step(layer, inputs[:, step], h)
        h = new if mask is None else np.where(mask[:, step, None], new, h)
        states.append(h)
    return np.stack(states, axis=1)


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("start", ["zeros", "any"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("zoneout", [0.0, 0.3])
def test_all_steps_at_once_are_the_papers_one_by_one(
    layer_class, mask, start, go_backwards, zoneout
):
    options = dict(return_sequences=True, return_state=True, go_backwards=go_backwards)
    layer = randomized(layer_class(UNITS, zoneout=zoneout, **options))
    mask = MASKS[mask]
    h = np.zeros((ROWS, UNITS)) if start == "zeros" else GENERATOR.normal(size=(ROWS, UNITS))
    given = {} if start == "zeros" else {"initial_state": [h.astype("float32")]}
    order = slice(None, None, -1 if go_backwards else 1)
    own_mask = None if mask is None else mask[:, order]
    expected = stepped(layer, INPUTS[:, order], h, own_mask, zoneout)
    outputs, state = layer(INPUTS, mask=mask, **given)
    np.testing.assert_allclose(state, expected[:, -1], atol=1e-5)
    if mask is None:
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
    else:
        real = np.broadcast_to(own_mask, (ROWS, TIME))
        np.testing.assert_allclose(outputs.numpy()[real], expected[real], atol=1e-5)
    states = layer.state_sequences(INPUTS, given.get("initial_state"), mask)
    np.testing.assert_allclose(states["hidden"], expected[:, order], atol=1e-5)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_what_is_returned_follows_keras_gru(layer_class):
    """Shapes, the last output alone, zeros for masked steps, and a state over calls."""
    layer = randomized(layer_class(UNITS, return_sequences=True))
    outputs = layer(INPUTS)
    last = layer_class(UNITS, return_state=True)
    last.build((None, None, FEATURES))
    last.set_weights(layer.get_weights())
    output, state = last(INPUTS)
    np.testing.assert_allclose(output, outputs[:, -1], atol=1e-6)
    np.testing.assert_allclose(state, outputs[:, -1], atol=1e-6)
    zeros = layer_class(UNITS, return_sequences=True, zero_output_for_mask=True)
    zeros.build((None, None, FEATURES))
    zeros.set_weights(layer.get_weights())
    masked = zeros(INPUTS, mask=LEFT_AND_RIGHT).numpy()
    assert (masked[~LEFT_AND_RIGHT] == 0).all()
    assert (masked[LEFT_AND_RIGHT] > 0).all()
    kept = layer_class(UNITS, return_sequences=True, stateful=True)
    kept.build((ROWS, None, FEATURES))
    kept.cell.set_weights(layer.cell.get_weights())
    halves = [kept(INPUTS[:, :2]), kept(INPUTS[:, 2:])]
    np.testing.assert_allclose(tf.concat(halves, 1), outputs, atol=1e-5)
    kept.reset_state()
    np.testing.assert_allclose(kept(INPUTS), outputs, atol=1e-5)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_gradients_are_those_of_the_steps(layer_class):
    layer = randomized(layer_class(UNITS, return_sequences=True, return_state=True))
    h = tf.Variable(GENERATOR.normal(size=(ROWS, UNITS)), dtype=tf.float32)
    inputs = tf.Variable(INPUTS)
    weights = GENERATOR.normal(size=(ROWS, TIME, UNITS)).astype("float32")
    with tf.GradientTape() as tape:
        outputs, _ = layer(inputs, initial_state=[h], mask=LEFT_AND_RIGHT)
        loss = tf.reduce_sum(outputs * weights)
    variables = [h, inputs, *(variable.value for variable in layer.trainable_variables)]
    gradients = tape.gradient(loss, variables)
    with tf.GradientTape() as tape:
        state, states = h, []
        for step in range(TIME):
            new, _ = layer.cell(inputs[:, step], [state])
            state = tf.where(LEFT_AND_RIGHT[:, step, None], new, state)
            states.append(state)
        # Keras gives zeros, not the initial state, before the first real step.
        begun = np.cumsum(LEFT_AND_RIGHT, 1)[..., None] > 0
        loss = tf.reduce_sum(tf.stack(states, 1) * weights * begun)
    for ours, theirs in zip(gradients, tape.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_long_sequence_with_small_shares_is_exact(layer_class):
    """Sums of logarithms over 2,000 steps reach -20,000; what is added last is a few units."""
    layer = randomized(layer_class(UNITS, return_state=True), scale=10.0)
    inputs = GENERATOR.normal(size=(1, 2000, FEATURES)).astype("float32")
    _, state = layer(inputs)
    expected = stepped(layer, inputs.astype("float64"), np.zeros((1, UNITS)), None)[:, -1]
    np.testing.assert_allclose(state, expected, rtol=1e-4)


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_both_directions_in_an_encoder(layer_class, policy):
    cell = "min_gru" if layer_class is MinGRU else "min_lstm"
    encoder = Encoder(cell, units=[UNITS, 5], zoneout=0.1, dtype=policy)
    outputs, states = encoder(INPUTS, np.array([6, 3, 0]))
    assert outputs.shape == (ROWS, TIME, 10)
    assert [sorted(state["backward"]) for state in states] == [["h"], ["h"]]
    assert np.isfinite(tf.cast(outputs, tf.float32)).all()
    forward, backward = encoder.forward_stack[0], encoder.backward_stack[0]
    mask = np.arange(TIME) < [[6], [3], [0]]
    joined, _, _ = both_directions(forward, backward, tf.constant(INPUTS), tf.constant(mask))
    left, _ = forward(INPUTS, mask=mask)
    right, _ = backward(INPUTS, mask=mask)
    np.testing.assert_array_equal(
        tf.cast(joined, tf.float32),
        tf.cast(tf.concat([left, tf.reverse(right, [1])], -1), tf.float32),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MinGRU(4, weight_dropout=0.1), "weight_dropout: drops recurrent .* min_gru has"),
        (lambda: MinLSTM(4, unroll=True), "unroll: min_lstm has no loop"),
        (lambda: MinGRU(4, zoneout=[0.1, 0.2]), "are 2 rates, but the cell has 1 state"),
        (
            lambda: Translator(
                9, 9, Encoder(units=4), Decoder("min_gru", 4), ZeroBridge, int8_search=True
            ),
            r"int8_search: .* only with cell=lstm or gru",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_configuration_makes_the_layer_again(layer_class):
    layer = layer_class(UNITS, use_bias=False, zoneout=0.2, return_state=True, seed=3)
    again = layer_class.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert isinstance(keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)), layer_class)  # fmt: skip
