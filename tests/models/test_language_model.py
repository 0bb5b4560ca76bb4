"""The language model, against stock Keras layers that keep their own state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.errors import UserError
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from seq2seq.training.losses import TokenCrossEntropy

VOCABULARY, ROWS = 11, 3
GENERATOR = np.random.default_rng(0)


def language_model(cell="lstm", layers=2, rows=ROWS, **options):
    keras.utils.set_random_seed(1)
    stack = RecurrentStack(cell, units=6, layers=layers)
    return LanguageModel(VOCABULARY, rows, stack, embedding_dim=5, **options)


def draw(rows, steps):
    return GENERATOR.integers(1, VOCABULARY, (rows, steps)).astype(np.int32)


def carried_logits(model, tokens, reset):
    """Returns the logits that the loss is made of, and leaves the state behind."""
    factors = model.loss_model({"tokens": tokens, "reset": np.array(reset, bool)})
    return factors["features"].numpy() @ factors["kernel"].numpy() + factors["bias"].numpy()


def keras_stateful(model, cell):
    """Stock Keras' layers of fixed batch size with `stateful=True`, and the same weights."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    inputs = keras.Input(batch_shape=(ROWS, None), dtype="int32")
    outputs = keras.layers.Embedding(VOCABULARY, 5)(inputs)
    for _ in model.stack.stack:
        outputs = layer(6, return_sequences=True, stateful=True)(outputs)
    stock = keras.Model(inputs, keras.layers.Dense(VOCABULARY)(outputs))
    for mine, theirs in zip(model.training_model.trainable_weights, stock.weights, strict=False):
        assert mine.shape == theirs.shape
    stock.set_weights([w.numpy() for w in model.training_model.trainable_weights])
    return stock


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_state_is_carried_as_by_keras_stateful_layers(cell):
    model = language_model(cell)
    stock = keras_stateful(model, cell)
    for number in range(3):
        tokens = draw(ROWS, 4)
        mine = carried_logits(model, tokens, [number == 0] * ROWS)
        np.testing.assert_allclose(mine, stock(tokens).numpy(), atol=1e-5)


def test_mixed_precision_carries_its_state_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = language_model()
    finally:
        keras.config.set_dtype_policy("float32")
    exact = language_model()
    for mine, theirs in zip(model.loss_model.weights, exact.loss_model.weights, strict=True):
        mine.assign(theirs)
    for number in range(3):
        tokens = draw(ROWS, 4)
        reset = np.full(ROWS, number == 0)
        found = model.loss_model({"tokens": tokens, "reset": reset})["features"]
        expected = exact.loss_model({"tokens": tokens, "reset": reset})["features"]
        np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.05)
    assert {variable.dtype for variable in model.carried_stack.carried} == {"float32"}


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("feed_forward", [0, 9])
def test_residual_layers_add_to_what_they_read(layers, feed_forward):
    keras.utils.set_random_seed(1)
    stack = RecurrentStack(units=6, layers=layers, residual=True, feed_forward=feed_forward)
    inputs = GENERATOR.normal(size=(3, 7, 5)).astype(np.float32)
    outputs, states = stack(inputs)
    assert [sorted(state) for state in states] == [["c", "h"]] * layers

    def normed(values):
        centred = values - values.mean(-1, keepdims=True)
        return centred / np.sqrt(values.var(-1, keepdims=True) + 1e-3)

    expected = inputs @ stack.entrance.kernel.numpy() + stack.entrance.bias.numpy()
    for layer, recurrent in enumerate(stack.stack):
        expected = expected + recurrent(normed(expected))[0].numpy()
        if feed_forward:
            widen, narrow = stack.feed_forward[layer]
            wide = normed(expected) @ widen.kernel.numpy() + widen.bias.numpy()
            expected = expected + np.maximum(wide, 0) @ narrow.kernel.numpy() + narrow.bias.numpy()
    np.testing.assert_allclose(outputs, normed(expected), atol=1e-4)


def test_a_residual_stack_goes_on_from_its_states():
    model = LanguageModel(
        VOCABULARY, ROWS, RecurrentStack(units=6, layers=2, residual=True, feed_forward=9)
    )
    tokens = tf.constant(draw(ROWS, 8))
    whole = model.training_model({"tokens": tokens})
    first = {"tokens": tokens[:, :3], "length": tf.fill([ROWS], 3)}
    states = model.step_model({**first, "states": model.initial_states(ROWS)})["states"]
    rest = {"tokens": tokens[:, 3:], "length": tf.fill([ROWS], 5), "states": states}
    np.testing.assert_allclose(model.step_model(rest)["logits"], whole[:, 3:], atol=1e-5)


def test_dense_layers_need_residual_ones():
    with pytest.raises(ValueError, match="feed_forward: needs residual=true"):
        RecurrentStack(units=6, feed_forward=9)


@pytest.mark.parametrize("cell", ["lstm", "gru", "min_gru", "min_lstm", "mogrifier_lstm"])
def test_rows_start_anew_one_by_one_and_batches_may_have_fewer_rows(cell):
    model = language_model(cell)
    tokens = draw(ROWS, 12)
    whole = model.training_model({"tokens": tokens}).numpy()
    restarted = model.training_model({"tokens": tokens[:, 4:]}).numpy()
    carried_logits(model, tokens[:, :4], [True] * ROWS)
    second = carried_logits(model, tokens[:, 4:8], [False, True, False])
    third = carried_logits(model, tokens[:2, 8:], [False, False])
    np.testing.assert_allclose(second[0], whole[0, 4:8], atol=1e-5)
    np.testing.assert_allclose(second[1], restarted[1, :4], atol=1e-5)
    np.testing.assert_allclose(third, [whole[0, 8:], restarted[1, 4:]], atol=1e-5)
    back = carried_logits(model, tokens[:, 8:], [True, True, False])  # row 3 was not there
    np.testing.assert_allclose(back[2], whole[2, 8:], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"embeddings": "tied"}])
def test_the_loss_is_the_cross_entropy_of_the_logits(options):
    model = language_model(**options)
    tokens, labels = draw(ROWS, 5), draw(ROWS, 5)
    factors = model.loss_model({"tokens": tokens, "reset": np.ones(ROWS, bool)})
    losses = TokenCrossEntropy()(labels, factors, tf.ones(labels.shape)).reported
    logits = model.training_model({"tokens": tokens}).numpy()
    expected = (
        np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, labels[..., None], 2)[..., 0]
    )
    np.testing.assert_allclose(losses, expected, atol=1e-5)
    assert ("kernel" in factors) == (options == {})


def test_steps_of_any_lengths_equal_the_whole():
    model = language_model()
    tokens = draw(2, 9)
    whole = model.training_model({"tokens": tokens}).numpy()
    states = model.initial_states(2)
    done = np.zeros(2, int)
    for lengths in ([3, 1], [0, 5], [6, 3]):
        piece = np.zeros((2, max(lengths)), np.int32)
        for row, length in enumerate(lengths):
            piece[row, :length] = tokens[row, done[row] : done[row] + length]
        inputs = {"tokens": tf.constant(piece), "length": tf.constant(lengths)}
        outputs = model.step_model({**inputs, "states": states})
        for row, length in enumerate(lengths):
            expected = whole[row, done[row] : done[row] + length]
            np.testing.assert_allclose(outputs["logits"][row, :length], expected, atol=1e-5)
        states, done = outputs["states"], done + lengths
    assert done.tolist() == [9, 9]


def test_reading_and_stepping_equal_the_whole():
    model = language_model("gru")
    tokens = draw(2, 6)
    whole = model.training_model({"tokens": tokens}).numpy()
    last, states = model.read(tf.constant(tokens), tf.constant([6, 2]))
    logits, states = model.step(last, states)
    np.testing.assert_allclose(logits, [whole[0, 5], whole[1, 1]], atol=1e-5)
    logits, _ = model.step(tf.constant(tokens[:, 2]), states)
    np.testing.assert_allclose(logits[1], whole[1, 2], atol=1e-5)


def test_the_carried_state_is_no_part_of_what_is_learned():
    model = language_model()
    assert len(model.loss_model.trainable_weights) == len(model.training_model.weights)
    assert {tuple(w.shape) for w in model.loss_model.non_trainable_weights} == {(ROWS, 6)}


@pytest.mark.parametrize(
    "override", ["embeddings=no", "embedding_dim=0", "output_dropout=1.0", "stack.layers=0"]
)
def test_impossible_configs_are_refused(override):
    def built():
        config = composed(["model=language_model", f"model.{override}"])
        build(config, "model", vocabulary_size=5, batch_size=2)

    with pytest.raises(UserError, match=override.split("=")[0].split(".")[-1]):
        built()
