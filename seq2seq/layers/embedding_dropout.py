"""Dropout of the embeddings of whole words."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="seq2seq")
class EmbeddingDropout(ConfiguredLayer):
    """Drops words of the vocabulary: each wherever it stands in the batch, or nowhere.

    See Gal & Ghahramani (2016), https://arxiv.org/abs/1512.05287.

    Args:
        vocabulary_size: The number of word ids.
        rate: The share of the vocabulary; the other embeddings are scaled up.

    Raises:
        ValueError: If `rate` is outside [0, 1).
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
        drawn = keras.random.uniform((self.vocabulary_size,), seed=self.seed_generator)
        scale = tf.cast(drawn >= self.rate, vectors.dtype) / (1 - self.rate)
        return vectors * tf.gather(scale, words)[..., tf.newaxis]
