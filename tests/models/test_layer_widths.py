"""Stacks with a width for each layer: against stock Keras, and through bridges and steps."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.config import build, composed
from seq2seq.layers.attention import LuongAttention
from seq2seq.layers.bridge import ConcatenateBridge, CopyBridge, DenseBridge, StateSpec, ZeroBridge
from seq2seq.models.classifier import Classifier
from seq2seq.models.encoder import Encoder
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.stack import RecurrentStack
from tests.models.test_translator import batch, make, stepped_logits, without_target

TWO = dict(units=[6, 4])
WIDE = dict(units=[12, 8])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_an_encoder_is_stacked_stock_keras_layers_of_these_widths(cell):
    encoder = Encoder(cell, units=[5, 3])
    inputs = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")
    outputs, states = encoder(inputs, np.array([6, 6]))
    stock = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    expected = inputs
    for width, layer, final in zip((5, 3), range(2), states, strict=True):
        both = keras.layers.Bidirectional(stock(width, return_sequences=True, return_state=True))
        both.build(expected.shape)
        pair = encoder.forward_stack[layer], encoder.backward_stack[layer]
        both.set_weights([weight for half in pair for weight in half.get_weights()])
        expected, *ends = both(expected)
        ours = [state for fields in final.values() for state in fields.values()]
        for state, end in zip(ours, ends, strict=True):
            np.testing.assert_allclose(state, end, atol=1e-6)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("bridge", "encoder", "decoder"),
    [
        (ConcatenateBridge, TWO, WIDE),
        (CopyBridge, {**TWO, "bidirectional": False}, TWO),
        (DenseBridge, TWO, dict(units=[7, 5, 3], cell="gru")),
        (ZeroBridge, TWO, {**WIDE, "attention": LuongAttention}),
        (DenseBridge, TWO, {**WIDE, "attention": LuongAttention, "input_feeding": True}),
        (
            DenseBridge,
            TWO,
            {**WIDE, "attention": partial(LuongAttention, score="dot"), "attention_layer": "first"},
        ),
    ],
)
def test_steps_of_a_decoder_give_the_training_logits(bridge, encoder, decoder):
    if "first" in decoder.values():  # the dot of the first layer's 12 units
        encoder = dict(units=[9, 6])
    model, inputs = make(bridge, encoder, decoder, embeddings="tied"), batch()
    states = model.encoder_model(without_target(inputs))["states"]
    for state, width in zip(states, decoder["units"], strict=False):
        assert state["h"].shape[-1] == width
    stepped = stepped_logits if "attention" not in decoder else attended_logits
    np.testing.assert_allclose(stepped(model, inputs), model.training_model(inputs), atol=1e-5)


def attended_logits(model, inputs):
    start = model.encoder_model(without_target(inputs))
    states, logits = start["states"], []
    for step in range(inputs["target"].shape[1]):
        read = {"target": inputs["target"][:, step : step + 1], "states": states}
        outputs = model.decoder_model({**read, "memory": start["memory"]})
        states = outputs["states"]
        logits.append(outputs["logits"])
    return np.concatenate(logits, axis=1)


def test_language_models_and_classifiers_continue_from_states_of_each_width():
    tokens = tf.constant(np.random.default_rng(1).integers(1, 9, (3, 4)), tf.int32)
    language = LanguageModel(9, 3, RecurrentStack("gru", [7, 5]), 4, embeddings="tied")
    states, logits = language.initial_states(3), []
    for step in range(4):
        read = {"tokens": tokens[:, step : step + 1], "states": states}
        outputs = language.step_model({**read, "length": tf.ones(3, tf.int32)})
        logits.append(outputs["logits"])
        states = outputs["states"]
    expected = language.training_model({"tokens": tokens})
    np.testing.assert_allclose(np.concatenate(logits, 1), expected, atol=1e-5)
    assert [tuple(v.shape) for v in language.carried_stack.carried] == [(3, 7), (3, 5)]

    encoder = Encoder(units=[6, 4], bidirectional=False)
    classifier = Classifier(9, 2, encoder, pooling=["mean", "max"], embedding_dim=4)
    given = classifier.step_model.input["states"]
    zeros = keras.tree.map_structure(lambda tensor: tf.zeros((3, *tensor.shape[1:])), given)
    read = {"text": tokens, "length": tf.fill([3], 4), "states": zeros}
    expected = classifier.training_model({"text": tokens, "text_length": tf.fill([3], 4)})
    np.testing.assert_allclose(classifier.step_model(read)["logits"][:, -1], expected, atol=1e-5)


def test_a_config_gives_widths_as_a_list():
    config = composed(["model.encoder.units=[6,4]", "model.decoder.units=[5,3]"])
    sizes = {"source_vocabulary_size": 9, "target_vocabulary_size": 9}
    model = build(config, "model", **sizes)
    assert model.decoder.spec.widths == (5, 3)
    again = Encoder.from_config(model.encoder.get_config())
    assert again.forward_spec == model.encoder.forward_spec
    bridge = DenseBridge.from_config(model.bridge.get_config())
    assert bridge.spec == model.decoder.spec


def test_the_spec_of_an_older_bridge_has_one_width():
    saved = {"layers": 2, "fields": ["h", "c"], "units": 5}
    spec = StateSpec.from_config(saved)
    assert spec == StateSpec(2, ("h", "c"), 5)
    assert spec.widths == (5, 5)
    assert spec.get_config() == saved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(encoder={**TWO, "layers": 3}), r"layers: is 3, but units=\[6, 4\] is for 2 layer"),
        (dict(encoder=dict(units=[])), "units: must be .*, or a list of them"),
        (dict(encoder=dict(units=1.5)), "units: must be .*, or a list of them, got 1.5"),
        (dict(decoder=dict(units=[4, 0])), "units: must be .* at least 1, got 0"),
        (
            dict(bridge=ConcatenateBridge, encoder=TWO, decoder=dict(units=[12, 10])),
            "forward and backward, states h/c of 6, 4 units, .* h/c of 12, 10 units",
        ),
    ],
)
def test_widths_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_residual_layers_need_one_width():
    with pytest.raises(ValueError, match=r"units: \[6, 4\] .* residual=true needs equal ones"):
        RecurrentStack(units=[6, 4], residual=True)
