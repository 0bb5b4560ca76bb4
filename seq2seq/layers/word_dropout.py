"""Word dropout: in training, some tokens are read as unknown."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="seq2seq")
class WordDropout(ConfiguredLayer):
    """Replaces token ids by that of unknown tokens, each with the same chance, in training.

    So a model learns what to make of tokens that it has never seen (Iyyer et al., 2015,
    https://aclanthology.org/P15-1162, drop them instead).

    Args:
        rate: Share of tokens replaced.
        unknown: The id they are replaced by.
        seed: Of the random numbers; null draws one.

    Raises:
        ValueError: If `rate` is outside [0, 1).
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
        drawn = keras.random.uniform(tf.shape(ids), seed=self.seed_generator)
        return tf.where(drawn < self.rate, tf.cast(self.unknown, ids.dtype), ids)
