"""Embeddings: Keras' own, exact and fast in mixed precision, too."""

import keras
import tensorflow as tf

from seq2seq.ops.dense import tied_logits
from seq2seq.ops.gather import embedding_lookup


@keras.saving.register_keras_serializable(package="seq2seq")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`: same arguments, weights and results.

    Keras casts the whole table at each call, and sums the gradients of a row in bfloat16.

    Example:
        >>> Embedding(8000, 256)(np.zeros((64, 20), np.int32))
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps ids `(...)` to vectors `(..., dim)`."""
        plain = not self.lora_enabled and self.quantization_mode is None
        if not plain or not isinstance(inputs, tf.Tensor):  # a sparse or ragged one
            return super().call(inputs)
        return embedding_lookup(self.embeddings, inputs, self.compute_dtype, bool(training))


@keras.saving.register_keras_serializable(package="seq2seq")
class ReversibleEmbedding(keras.layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding`, faster: same arguments, weights and results."""

    def call(
        self, inputs: tf.Tensor, reverse: bool = False, training: bool | None = None
    ) -> tf.Tensor:
        """Maps ids `(...)` to vectors `(..., dim)`, or vectors to logits `(..., ids)`."""
        plain = not self.lora_enabled and self.quantization_mode is None
        if plain and not reverse and not self.mask_zero and isinstance(inputs, tf.Tensor):
            return embedding_lookup(self.embeddings, inputs, self.compute_dtype, bool(training))
        tied = plain and self.tie_weights and self.reverse_dtype is None
        if not reverse or not tied or self.logit_soft_cap is not None:
            return super().call(inputs, reverse=reverse)
        return tied_logits(inputs, self.embeddings)
