"""Embeddings: Keras' own, exact and fast in mixed precision, too."""

import keras
import tensorflow as tf

from seq2seq.kernels.library import usable
from seq2seq.kernels.rows import rows_of
from seq2seq.kernels.steps import steps_usable
from seq2seq.kernels.stored_weights import stored


def looked_up(layer: keras.layers.Embedding, ids: tf.Tensor, training: bool | None) -> tf.Tensor:
    """Returns the vectors of ids `(...)`, `(..., dim)`, in the layer's compute dtype.

    Keras casts the whole table at each call, and sums the gradients of a row in bfloat16.
    """
    table, ids = stored(layer.embeddings), tf.cast(ids, tf.int32)
    dtype = tf.as_dtype(layer.compute_dtype)
    if all(steps_usable(kind) or usable(kind, bool(training)) for kind in (table.dtype, dtype)):
        return rows_of(table, ids, dtype)
    return tf.cast(tf.gather(table, ids), dtype)


@keras.saving.register_keras_serializable(package="seq2seq")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`: same arguments, weights and results.

    Example:
        >>> Embedding(8000, 256)(np.zeros((64, 20), np.int32))
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps ids `(...)` to vectors `(..., dim)`."""
        if self.lora_enabled or self.quantization_mode is not None:
            return super().call(inputs)
        return looked_up(self, inputs, training)
