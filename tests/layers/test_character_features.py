"""Character features against stock Keras on each word alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seq2seq.layers.character_features import CharacterCNN, CharacterLSTM
from seq2seq.layers.dropout import EmbeddingDropout

CHARACTERS = np.array([[2, 3, 4, 0, 0], [5, 0, 0, 0, 0], [3, 3, 2, 4, 5]])
LENGTHS = np.array([3, 1, 5])


def lstm_alone(layer, word):
    vectors = layer.embedding(word)
    forward, backward = keras.layers.LSTM(4), keras.layers.LSTM(4, go_backwards=True)
    for stock, ours in ((forward, layer.forward_lstm), (backward, layer.backward_lstm)):
        stock.build(vectors.shape)
        stock.set_weights(ours.get_weights())
    return np.concatenate([forward(vectors), backward(vectors)], axis=-1)


def cnn_alone(layer, word):
    vectors = layer.embedding(word)
    seen = layer.convolution(vectors)
    return np.max(seen, axis=1)


@pytest.mark.parametrize(
    ("layer", "alone"),
    [
        (CharacterLSTM(6, embedding_dim=3, units=4), lstm_alone),
        (CharacterCNN(6, embedding_dim=3, filters=7, width=3), cnn_alone),
    ],
    ids=["lstm", "cnn"],
)
def test_a_word_among_others_is_the_word_alone(layer, alone):
    together = layer(CHARACTERS, LENGTHS)
    for row, length in enumerate(LENGTHS):
        expected = alone(layer, CHARACTERS[row : row + 1, :length])
        np.testing.assert_allclose(together[row : row + 1], expected, atol=1e-6)


@pytest.mark.parametrize("kind", [CharacterLSTM, CharacterCNN])
def test_impossible_arguments(kind):
    for arguments, message in (
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(ValueError, match=message):
            kind(**{"vocabulary_size": 3, **arguments})


def test_embedding_dropout_drops_a_word_everywhere_or_nowhere():
    words = tf.constant(np.random.default_rng(0).integers(0, 200, (8, 50)))
    layer = EmbeddingDropout(200, 0.25)
    keras.utils.set_random_seed(1)
    scales = layer(tf.ones((8, 50, 3)), words, training=True).numpy()
    assert set(np.unique(scales).round(5)) == {0, np.float32(4 / 3).round(5)}
    by_word = {}
    for word, scale in zip(words.numpy().ravel(), scales.reshape(-1, 3), strict=True):
        assert by_word.setdefault(word, scale.tolist()) == scale.tolist()
    dropped = np.mean([scale[0] == 0 for scale in by_word.values()])
    assert 0.15 < dropped < 0.35
    assert layer(tf.ones((1, 1, 3)), words[:1, :1], training=False).numpy().tolist() == [[[1] * 3]]
    assert EmbeddingDropout.from_config(layer.get_config()).rate == 0.25
    with pytest.raises(ValueError, match="rate"):
        EmbeddingDropout(3, 1.0)
