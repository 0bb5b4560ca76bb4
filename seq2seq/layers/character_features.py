"""A vector for each word from its characters."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.recurrent import LSTM


@keras.saving.register_keras_serializable(package="seq2seq")
class CharacterLSTM(keras.layers.Layer):
    """The last states of an LSTM in each direction (Lample et al., 2016).

    See https://arxiv.org/abs/1603.01360.

    Args:
        vocabulary_size: Number of character ids; 0 is padding.
        embedding_dim: Width of the character embeddings.
        units: Units of each direction.
        dropout: Share of the embeddings' elements dropped.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 32,
        units: int = 50,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.embedding = character_embedding(vocabulary_size, embedding_dim)
        positive("units", units)
        fraction("dropout", dropout)
        self.dropout = Dropout(dropout)
        self.forward_lstm = LSTM(units, name="forward")
        self.backward_lstm = LSTM(units, go_backwards=True, name="backward")

    def call(
        self, characters: tf.Tensor, lengths: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        """Reads words.

        Args:
            characters: Integers `(words, characters)`.
            lengths: Integers `(words,)`, the real characters of each word.
            training: Whether dropout is active.

        Returns:
            `(words, 2 * units)`.
        """
        mask = tf.sequence_mask(lengths, tf.shape(characters)[1])
        vectors = self.dropout(self.embedding(characters), training=training)
        ends = [
            lstm(vectors, mask=mask, training=training)
            for lstm in (self.forward_lstm, self.backward_lstm)
        ]
        return tf.concat(ends, axis=-1)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Lengths are passed explicitly: no mask travels with the tensors."""
        return


@keras.saving.register_keras_serializable(package="seq2seq")
class CharacterCNN(keras.layers.Layer):
    """The largest value of each filter over the word (Ma & Hovy, 2016).

    See https://arxiv.org/abs/1603.01354.

    Args:
        vocabulary_size: Number of character ids; 0 is padding.
        embedding_dim: Width of the character embeddings.
        filters: Number of filters.
        width: How many characters a filter sees.
        dropout: Share of the embeddings' elements dropped.

    Raises:
        ValueError: If an argument has an impossible value.
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
        super().__init__(**kwargs)
        self.embedding = character_embedding(vocabulary_size, embedding_dim)
        positive("filters", filters)
        positive("width", width)
        fraction("dropout", dropout)
        self.dropout = Dropout(dropout)
        self.convolution = keras.layers.Conv1D(filters, width, padding="same")

    def call(
        self, characters: tf.Tensor, lengths: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        """Reads words.

        Args:
            characters: Integers `(words, characters)`.
            lengths: Integers `(words,)`, the real characters of each word.
            training: Whether dropout is active.

        Returns:
            `(words, filters)`.
        """
        mask = tf.sequence_mask(lengths, tf.shape(characters)[1])[..., tf.newaxis]
        vectors = self.dropout(self.embedding(characters), training=training)
        vectors *= tf.cast(mask, vectors.dtype)  # as if nothing stood behind the word
        seen = self.convolution(vectors)
        return tf.reduce_max(tf.where(mask, seen, seen.dtype.min), axis=1)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Lengths are passed explicitly: no mask travels with the tensors."""
        return


def character_embedding(vocabulary_size: int, dim: int) -> keras.layers.Embedding:
    """Makes embeddings of unit variance, from which an LSTM learns fast.

    Raises:
        ValueError: If a size is impossible.
    """
    positive("vocabulary_size", vocabulary_size)
    positive("embedding_dim", dim)
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    return keras.layers.Embedding(
        vocabulary_size, dim, embeddings_initializer=initializer, name="characters"
    )
