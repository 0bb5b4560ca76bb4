"""Dense layers and tied embeddings: Keras' own, faster in training and in searches."""

import keras
import tensorflow as tf

from seq2seq.kernels.dense import dense
from seq2seq.kernels.library import usable
from seq2seq.kernels.steps import packed_dense, steps_usable
from seq2seq.kernels.stored_weights import widened
from seq2seq.layers.embedding import looked_up


@keras.saving.register_keras_serializable(package="seq2seq")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, faster: same arguments, weights and results.

    Example:
        >>> Dense(512, activation="tanh")(np.zeros((64, 20, 1024)))
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps `(..., inputs)` to `(..., units)`."""
        plain = not self.lora_enabled and self.quantization_mode is None
        goes_on = steps_usable(inputs.dtype)
        if not plain or not (goes_on or usable(inputs.dtype, bool(training))):
            return super().call(inputs, training=training)
        rows = tf.reshape(inputs, (-1, self.kernel.shape[0]))
        tanh = self.activation is keras.activations.tanh
        if goes_on:  # logits stay float32
            outputs = packed_dense(rows, self.kernel, self.bias, tanh=tanh)
        else:
            bias = widened(self.bias) if self.use_bias else tf.zeros(self.units)
            outputs = dense(rows, widened(self.kernel), bias, tanh=tanh)
        outputs = _in_place_of(inputs, outputs)
        return outputs if tanh else self.activation(outputs)


@keras.saving.register_keras_serializable(package="seq2seq")
class ReversibleEmbedding(keras.layers.ReversibleEmbedding):
    """`keras.layers.ReversibleEmbedding`, faster: same arguments, weights and results."""

    def call(
        self, inputs: tf.Tensor, reverse: bool = False, training: bool | None = None
    ) -> tf.Tensor:
        """Maps ids `(...)` to vectors `(..., dim)`, or vectors to logits `(..., ids)`."""
        plain = not self.lora_enabled and self.quantization_mode is None
        if plain and not reverse and not self.mask_zero and isinstance(inputs, tf.Tensor):
            return looked_up(self, inputs, training)
        plain &= self.tie_weights and self.logit_soft_cap is None
        if not reverse or not plain or not steps_usable(inputs.dtype):
            return super().call(inputs, reverse=reverse)
        rows = tf.reshape(inputs, (-1, self.output_dim))
        return _in_place_of(inputs, packed_dense(rows, self.embeddings, transposed=True))


def _in_place_of(inputs: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Returns outputs `(rows, units)` with the axes of inputs `(..., inputs)`."""
    return tf.reshape(outputs, (*keras.ops.shape(inputs)[:-1], outputs.shape[-1]))
