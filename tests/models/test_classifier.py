"""The classifier: what it is made of, its gradients, padding, and pairs of texts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.models.classifier import Classifier, Combine
from seq2seq.models.encoder import Encoder

LENGTHS = np.array([4, 2, 1], np.int32)
ALL = ("last", "mean", "max", "attention")


def classifier(**options):
    keras.utils.set_random_seed(1)
    options = {"pooling": ["last"], "embedding_dim": 5, "attention_units": 3, **options}
    encoder = options.pop("encoder", None) or Encoder(units=4, layers=2)
    return Classifier(20, 3, encoder, **options)


def inputs(texts=1, numbers=0):
    random = np.random.default_rng(2)
    found = {}
    for text in ("text", "text2")[:texts]:
        found[text] = random.integers(1, 20, (3, 4)) * (np.arange(4) < LENGTHS[:, None])
        found[f"{text}_length"] = LENGTHS
    if numbers:
        found["numbers"] = random.normal(size=(3, numbers)).astype(np.float32)
    return found


@pytest.mark.parametrize("encoder", [Encoder(units=4), Encoder("gru", 4, bidirectional=False)])
def test_the_last_state_is_what_the_encoder_hands_on(encoder):
    model = classifier(encoder=encoder)
    features = model.feature_model(inputs())
    directions = ["forward", "backward"] if encoder.backward_stack else ["forward"]
    last = np.concatenate([features[f"text.layer_0.{each}.h"] for each in directions], axis=1)
    np.testing.assert_allclose(features["text.pooled"], last, atol=1e-6)
    kernel, bias = model.output_layer.get_weights()
    logits = model.training_model(inputs())
    np.testing.assert_allclose(logits, last @ kernel + bias, atol=1e-5)


def test_several_poolings_are_concatenated():
    widths = {name: classifier(pooling=[name]).feature_model(inputs()) for name in ALL}
    together = classifier(pooling=list(ALL)).feature_model(inputs())["text.pooled"]
    assert together.shape[-1] == sum(f["text.pooled"].shape[-1] for f in widths.values())


def test_every_weight_has_a_gradient():
    model = classifier(
        texts=2, numbers=2, pooling=list(ALL), separate_encoders=True, combination=Combine("tanh")
    )
    variables = model.training_model.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.training_model(inputs(2, 2), training=True) ** 2)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


@pytest.mark.parametrize("pooling", ALL)
def test_padding_and_neighbours_change_nothing(pooling):
    model = classifier(pooling=[pooling])
    batch = inputs()
    together = model.training_model(batch)
    for row, length in enumerate(LENGTHS):
        alone = {"text": batch["text"][row : row + 1, :length], "text_length": [length]}
        alone = {name: np.array(value, np.int32) for name, value in alone.items()}
        np.testing.assert_allclose(model.training_model(alone)[0], together[row], atol=1e-5)


def test_a_text_without_tokens_is_classified():
    batch = {"text": np.zeros((1, 1), np.int32), "text_length": np.zeros(1, np.int32)}
    assert np.isfinite(classifier(pooling=list(ALL)).training_model(batch)).all()


def numpy_combined(kind, layer, one, other):
    if kind == "concatenate":
        return np.concatenate([one, other], axis=1)
    if kind == "difference":
        return np.concatenate([np.abs(one - other), one * other], axis=1)
    first, bias, second = (np.array(weight) for weight in layer.weights)
    return np.tanh(one @ first + other @ second + bias)


@pytest.mark.parametrize("kind", ["tanh", "concatenate", "difference"])
def test_pairs_are_combined(kind):
    model = classifier(texts=2, combination=Combine(kind, units=6))
    features = model.feature_model(inputs(2))
    vectors = [np.array(features[f"{text}.pooled"]) for text in ("text", "text2")]
    kernel, bias = model.output_layer.get_weights()
    expected = numpy_combined(kind, model.combine, *vectors) @ kernel + bias
    np.testing.assert_allclose(model.training_model(inputs(2)), expected, atol=1e-5)


def test_encoders_are_shared_or_separate():
    same = inputs(2)
    same["text2"] = same["text"]
    for separate in (False, True):
        model = classifier(texts=2, separate_encoders=separate)
        features = model.feature_model(same)
        equal = np.allclose(features["text.pooled"], features["text2.pooled"], atol=1e-6)
        assert equal is not separate


def test_weights_survive_a_file(tmp_path):
    first = classifier(texts=2, separate_encoders=True, pooling=["attention", "mean"])
    first.training_model.save_weights(tmp_path / "a.weights.h5")
    second = classifier(texts=2, separate_encoders=True, pooling=["attention", "mean"])
    for weight in second.training_model.weights:
        weight.assign(tf.zeros_like(weight))
    second.training_model.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(first.training_model(inputs(2)), second.training_model(inputs(2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": []}, "pooling: must be a list"),
        ({"pooling": "last"}, "pooling: must be a list"),
        ({"pooling": ["first"]}, "got 'first'"),
        ({"texts": 3}, "texts: must be 1 or 2"),
        ({"word_dropout": 1.5}, "word_dropout: must be"),
        ({"embedding_scale": 0.0}, "embedding_scale: must be"),
    ],
)
def test_impossible_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        classifier(**options)


def test_an_impossible_combination():
    with pytest.raises(ValueError, match="kind: must be one of"):
        Combine("sum")
