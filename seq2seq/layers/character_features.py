"""A vector for each word from its characters."""

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.embedding import Embedding
from seq2seq.layers.recurrent import LSTM


class CharacterFeatures(ConfiguredLayer):
    """Base class: embeds the characters of words, ids below `vocabulary_size`, 0 for padding.

    Args:
        vocabulary_size: Number of character ids.
        embedding_dim: Width of the character embeddings.
        dropout: Share of the embeddings' elements dropped.
    """

    def __init__(
        self, vocabulary_size: int, embedding_dim: int, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        fraction("dropout", dropout)
        with default_policy(self.dtype_policy):
            self.embedding = character_embedding(vocabulary_size, embedding_dim)
            self.dropout = Dropout(dropout)

    def call(
        self, characters: tf.Tensor, lengths: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        """Maps integers `(words, characters)`, and lengths `(words,)`, to `(words, features)`."""
        mask = tf.sequence_mask(lengths, tf.shape(characters)[1])
        vectors = self.dropout(self.embedding(characters), training=training)
        return self.features(vectors, mask, training)

    @abstractmethod
    def features(self, vectors: tf.Tensor, mask: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Maps vectors `(words, characters, embedding_dim)` to `(words, features)`."""

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Lengths are passed explicitly: no mask travels with the tensors."""
        return


@keras.saving.register_keras_serializable(package="seq2seq")
class CharacterLSTM(CharacterFeatures):
    """The last states of an LSTM in each direction, `2 * units` features.

    See Lample et al. (2016), https://arxiv.org/abs/1603.01360. Arguments as in `CharacterFeatures`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 32,
        units: int = 50,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, embedding_dim, dropout, **kwargs)
        positive("units", units)
        with default_policy(self.dtype_policy):
            self.forward_lstm = LSTM(units, name="forward")
            self.backward_lstm = LSTM(units, go_backwards=True, name="backward")
        for layer in (self.forward_lstm, self.backward_lstm):
            layer.supports_masking = True  # as in models.recurrent_layers

    def features(self, vectors: tf.Tensor, mask: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Returns the last state of each direction, side by side."""
        ends = [
            lstm(vectors, mask=mask, training=training)
            for lstm in (self.forward_lstm, self.backward_lstm)
        ]
        return tf.concat(ends, axis=-1)


@keras.saving.register_keras_serializable(package="seq2seq")
class CharacterCNN(CharacterFeatures):
    """The largest value of each filter over the word.

    See Ma & Hovy (2016), https://arxiv.org/abs/1603.01354. A filter covers `width` characters;
    arguments are as in `CharacterFeatures`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 32,
        filters: int = 50,
        width: int = 3,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary_size, embedding_dim, dropout, **kwargs)
        positive("filters", filters)
        positive("width", width)
        self.convolution = keras.layers.Conv1D(
            filters, width, padding="same", dtype=self.dtype_policy
        )

    def features(self, vectors: tf.Tensor, mask: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Returns each filter's largest value, without padding."""
        real = tf.expand_dims(mask, -1)
        filtered = self.convolution(vectors * tf.cast(real, vectors.dtype))
        return tf.reduce_max(tf.where(real, filtered, filtered.dtype.min), axis=1)


def character_embedding(vocabulary_size: int, dim: int) -> Embedding:
    """Makes embeddings of unit variance, from which an LSTM learns fast."""
    positive("vocabulary_size", vocabulary_size)
    positive("embedding_dim", dim)
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    return Embedding(vocabulary_size, dim, embeddings_initializer=initializer, name="characters")
