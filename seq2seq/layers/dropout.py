"""Dropout of elements, of embeddings of whole words, and of words."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.ops.dropout import dropout


@keras.saving.register_keras_serializable(package="seq2seq")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, faster: same arguments, other random numbers.

    Example:
        >>> Dropout(0.3)(np.ones((64, 20, 512)), training=True)
    """

    def call(self, inputs: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Drops elements of a tensor of any shape in training."""
        if not training or not 0 < self.rate < 1 or self.noise_shape is not None:
            return super().call(inputs, training=training)
        return dropout(inputs, self.rate, self.seed_generator)


@keras.saving.register_keras_serializable(package="seq2seq")
class EmbeddingDropout(ConfiguredLayer):
    """Drops words of the vocabulary: each wherever it stands in the batch, or nowhere.

    See Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        vocabulary_size: The number of word ids.
        rate: The share of the vocabulary, below 1; the other embeddings are scaled up.
    """

    def __init__(self, vocabulary_size: int, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        fraction("rate", rate)
        self.vocabulary_size, self.rate = vocabulary_size, rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, vectors: tf.Tensor, words: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Scales vectors `(batch, steps, dim)` of words `(batch, steps)`."""
        if not training or self.rate == 0:
            return vectors
        uniform = keras.random.uniform((self.vocabulary_size,), seed=self.seed_generator)
        scale = tf.cast(uniform >= self.rate, vectors.dtype) / (1 - self.rate)
        return vectors * tf.gather(scale, words)[..., tf.newaxis]


@keras.saving.register_keras_serializable(package="seq2seq")
class WordDropout(ConfiguredLayer):
    """Replaces token ids by that of unknown tokens, each with the same probability, in training.

    So a model learns what to make of tokens that it has never seen (Iyyer et al., 2015,
    https://aclanthology.org/P15-1162, drop them instead).

    Args:
        rate: Share of tokens replaced, below 1.
        unknown: The id they are replaced by.
        seed: Of the random numbers; null draws one.
    """

    def __init__(
        self, rate: float, unknown: int = 1, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        fraction("rate", rate)
        self.rate, self.unknown, self.seed = rate, unknown, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, ids: tf.Tensor, training: bool | None = False) -> tf.Tensor:
        """Maps ids of any shape to ids of the same shape."""
        if not training or self.rate == 0:
            return ids
        uniform = keras.random.uniform(tf.shape(ids), seed=self.seed_generator)
        return tf.where(uniform < self.rate, tf.cast(self.unknown, ids.dtype), ids)
