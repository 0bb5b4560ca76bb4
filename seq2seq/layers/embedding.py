"""Embeddings: Keras' own, exact and fast in mixed precision, too."""

import keras
import tensorflow as tf

from seq2seq.kernels.library import usable
from seq2seq.kernels.rows import rows_of
from seq2seq.kernels.steps import steps_usable
from seq2seq.kernels.stored_weights import stored


def looked_up(layer: keras.layers.Embedding, ids: tf.Tensor, training: bool | None) -> tf.Tensor:
    """Returns the vectors of ids `(...)`, `(..., dim)`, in the layer's compute dtype.

    Keras casts the whole table at each call, and sums the gradients of a row in bfloat16. As there,
    negative ids count from the table's end; not within a search, whose ids are tokens.
    """
    table, dtype = stored(layer.embeddings), tf.as_dtype(layer.compute_dtype)
    if ids.dtype not in (tf.int32, tf.int64):
        ids = tf.cast(ids, tf.int32)
    if not steps_usable(dtype):
        ids = tf.where(ids < 0, ids + table.shape[0], ids)
    if ids.dtype == tf.int64:  # what no row has stays what no row has
        ids = tf.cast(tf.clip_by_value(ids, tf.int32.min, tf.int32.max), tf.int32)
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
        plain = not self.lora_enabled and self.quantization_mode is None
        if not plain or not isinstance(inputs, tf.Tensor):  # a sparse or ragged one
            return super().call(inputs)
        return looked_up(self, inputs, training)
