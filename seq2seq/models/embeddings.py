"""Token embeddings of models."""

from typing import NamedTuple

import keras

from seq2seq.layers.checks import positive
from seq2seq.layers.embedding import Embedding, ReversibleEmbedding


class InputEmbedding(NamedTuple):
    """The embedding of the tokens that a model reads."""

    layer: keras.layers.Layer
    scale: float = 1.0
    """The factor that its vectors are multiplied by on input."""


def token_embedding(
    size: int, dim: int, name: str, deviation: float = 1.0, tied: bool = False
) -> Embedding:
    """Makes an embedding; with `tied` one that is also an output layer.

    Inputs should have unit variance: with Keras' default of 0.05, an LSTM learns several times
    slower. An output layer needs rows of unit length, so tied embeddings have a deviation of
    `dim**-0.5` and are scaled up on input.

    Raises:
        ValueError: If the width is impossible.
    """
    positive("column_dim" if name.startswith("column_") else "embedding_dim", dim)
    initializer = keras.initializers.RandomNormal(stddev=deviation)
    layer = ReversibleEmbedding if tied else Embedding
    return layer(size, dim, embeddings_initializer=initializer, name=name)
