"""The tagger: what it reads, its outputs, and its dropouts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.character_features import CharacterCNN, CharacterLSTM
from seq2seq.layers.crf import FORBIDDEN
from seq2seq.models.encoder import Encoder
from seq2seq.models.tagger import Tagger

SIZES = {"words": 9, "characters": 5, "columns": {"casing": 4, "pos": 6}, "vectors": [7, 3]}
ALLOWED = [[True, True, False, True]] + [[True] * 4] * 2 + [[True, True, False, True]]


def tagger(sizes=SIZES, **arguments):
    keras.utils.set_random_seed(1)
    defaults = {
        "labels": 3,
        "encoder": Encoder(units=4),
        "character_features": lambda size: CharacterLSTM(size, embedding_dim=2, units=3),
        "embedding_dim": 5,
        "column_dim": 2,
    }
    return Tagger(sizes, **{**defaults, **arguments})


def batch(rows=2, steps=3, seed=0):
    random = np.random.default_rng(seed)
    sentences = {"words": 9, "vectors": 7, "casing": 4, "pos": 6, "spelling": 4}
    inputs = {name: random.integers(0, size, (rows, steps)) for name, size in sentences.items()}
    inputs |= {"characters": random.integers(1, 5, (4, 6)), "length": np.full(rows, steps)}
    inputs["character_length"] = random.integers(1, 7, 4)
    return {name: tf.constant(value, tf.int32) for name, value in inputs.items()}


def test_all_that_is_read_decides_on_the_logits():
    model = tagger(output="softmax")
    model.set_vectors(np.random.default_rng(0).normal(size=(7, 3)))
    inputs = batch()
    logits = model.training_model(inputs)["logits"]
    assert logits.shape == (2, 3, 3)
    for name in inputs:
        if name == "length":
            continue
        other = {**inputs, name: tf.where(inputs[name] == 1, 2, 1)}
        assert not np.allclose(model.training_model(other)["logits"], logits), name


def predicted(model, inputs):
    """Runs the prediction model, whose words are spelled before."""
    characters = {name: inputs[name] for name in ("characters", "character_length")}
    others = {name: value for name, value in inputs.items() if name not in characters}
    return model.prediction_model({**others, "spelled": model.spelling_model(characters)})


def test_padding_and_other_rows_change_nothing():
    model = tagger()
    inputs = batch()
    expected = predicted(model, inputs)["logits"][1, :2]
    alone = {name: value[1:2, :2] for name, value in inputs.items() if value.shape == (2, 3)}
    alone |= {name: inputs[name] for name in ("characters", "character_length")}
    alone["length"] = tf.constant([2])
    longer = {**inputs, "length": tf.constant([3, 2])}
    expected = predicted(model, alone)["logits"][0]
    np.testing.assert_allclose(predicted(model, longer)["logits"][1, :2], expected, atol=1e-6)


@pytest.mark.parametrize("output", ["softmax", "constrained_softmax", "crf"])
def test_outputs(output):
    model = tagger(output=output, allowed=ALLOWED)
    inputs = batch()
    trained, searched = model.loss_model(inputs), predicted(model, inputs)
    assert ("transitions" in trained) == (output == "crf")
    assert ("transitions" in searched) == (output != "softmax")
    if output != "softmax":
        forbidden = searched["transitions"].numpy() == FORBIDDEN
        np.testing.assert_array_equal(forbidden, ~np.array(ALLOWED))
    if output == "constrained_softmax":
        np.testing.assert_allclose(
            searched["logits"], tf.nn.log_softmax(trained["logits"]), atol=1e-6
        )


def test_pretrained_vectors_are_frozen_or_tuned():
    vectors = np.arange(21.0).reshape(7, 3)
    for tuned in (False, True):
        model = tagger(tune_vectors=tuned)
        model.set_vectors(vectors)
        assert (model.vector_embedding.trainable_weights != []) == tuned
        np.testing.assert_array_equal(model.vector_embedding.get_weights()[0], vectors)
    only = tagger(embedding_dim=0)
    assert "embedding" not in {layer.name for layer in only.training_model.layers}


def test_only_words():
    sizes = {"words": 9, "characters": 0, "columns": {}, "vectors": None}
    model = tagger(sizes, character_features=None)
    inputs = {name: value for name, value in batch().items() if name in ("words", "length")}
    assert set(model.training_model.input) == {"words", "length"}
    assert model.training_model(inputs)["logits"].shape == (2, 3, 3)


def test_locked_dropout_drops_a_feature_at_every_step():
    model = tagger(
        locked_dropout=0.5,
        output="softmax",
        character_features=lambda size: CharacterCNN(size, embedding_dim=2, filters=3),
    )
    behind = model.training_model.get_layer("behind")
    dropped = behind(tf.ones((4, 9, 30)), training=True).numpy() == 0
    assert (dropped == dropped[:, :1]).all()
    assert 0.3 < dropped.mean() < 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "sofmax"}, "output: must be softmax, constrained_softmax or crf"),
        ({"character_features": None}, "character_features: the tokenizer reads"),
        ({"word_dropout": 1.0}, "must be at least 0 and below 1"),
        ({"locked_dropout": -1.0}, "locked_dropout"),
        ({"column_dim": 0}, "column_dim"),
        ({"sizes": {**SIZES, "vectors": None}, "embedding_dim": 0}, "needs pretrained vectors"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tagger(**arguments)
