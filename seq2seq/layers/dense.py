"""Dense: Keras' own, faster in training."""

import keras
import tensorflow as tf

from seq2seq.kernels.dense import dense
from seq2seq.kernels.library import usable


@keras.saving.register_keras_serializable(package="seq2seq")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, faster: same arguments, weights and results.

    Example:
        >>> Dense(512, activation="tanh")(np.zeros((64, 20, 1024)))
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps `(..., inputs)` to `(..., units)`."""
        plain = not self.lora_enabled and self.quantization_mode is None
        if not plain or not usable(inputs.dtype, bool(training)):
            return super().call(inputs, training=training)
        kernel = tf.convert_to_tensor(self.kernel)
        bias = tf.cast(self.bias, tf.float32) if self.use_bias else tf.zeros(self.units)
        outputs = dense(tf.reshape(inputs, (-1, kernel.shape[0])), kernel, bias)
        shape = keras.ops.shape(inputs)
        outputs = tf.reshape(tf.cast(outputs, inputs.dtype), (*shape[:-1], self.units))
        return outputs if self.activation is None else self.activation(outputs)
