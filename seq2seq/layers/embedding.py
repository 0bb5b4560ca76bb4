"""Embeddings: Keras' own, exact and fast in mixed precision, too."""

import keras
import tensorflow as tf

from seq2seq.kernels.stored_weights import stored


def looked_up(layer: keras.layers.Embedding, ids: tf.Tensor) -> tf.Tensor:
    """Returns the vectors of ids `(...)`, `(..., dim)`, in the layer's compute dtype.

    Keras casts the whole table at each call, and sums the gradients of a row in bfloat16.
    """
    vectors = tf.gather(stored(layer.embeddings), tf.cast(ids, tf.int32))
    return tf.cast(vectors, layer.compute_dtype)


@keras.saving.register_keras_serializable(package="seq2seq")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`: same arguments, weights and results.

    Example:
        >>> Embedding(8000, 256)(np.zeros((64, 20), np.int32))
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps ids `(...)` to vectors `(..., dim)`."""
        if self.lora_enabled or self.quantization_mode is not None:
            return super().call(inputs)
        return looked_up(self, inputs)
