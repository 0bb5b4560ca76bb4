"""Dense layers: Keras' own, faster; and the output layer whose logits are left to the loss."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.ops.dense import dense
from seq2seq.private_api import stored_value


@keras.saving.register_keras_serializable(package="seq2seq")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, faster: same arguments, weights and results.

    Example:
        >>> Dense(512, activation="tanh")(np.zeros((64, 20, 1024)))
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps `(..., inputs)` to `(..., units)`."""
        if self.lora_enabled or self.quantization_mode is not None:
            return super().call(inputs, training=training)
        return dense(inputs, self.kernel, self.bias, self.activation, training=bool(training))


@keras.saving.register_keras_serializable(package="seq2seq")
class LogitFactors(ConfiguredLayer):
    """Returns the factors of an output layer's logits: the loss multiplies them itself.

    So the logits of a large vocabulary are never kept in full.

    Args:
        output_layer: A `Dense` layer without activation, or a `ReversibleEmbedding`, whose weights
            this layer shares.

    Example:
        >>> factors = LogitFactors(keras.layers.Dense(8000))(np.zeros((64, 20, 512)))
        >>> losses = TokenCrossEntropy()(labels, factors, weights)
    """

    def __init__(self, output_layer: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_layer = output_layer

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Builds the output layer, where it is not built yet."""
        if not self.output_layer.built:
            self.output_layer.build(input_shape)

    def call(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns `features`, `(..., dim)`, and the weights as they are stored.

        Those are `kernel`, `(dim, classes)`, and `bias`, `(classes,)`, of a `Dense` layer, or the
        `embeddings`, `(classes, dim)`.
        """
        layer = self.output_layer
        factors = {"features": features}
        if isinstance(layer, keras.layers.Dense):
            factors["kernel"] = stored_value(layer.kernel)
            if layer.use_bias:
                factors["bias"] = stored_value(layer.bias)
        else:
            factors["embeddings"] = stored_value(layer.embeddings)
        return factors
