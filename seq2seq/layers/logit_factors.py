"""The output layer, left unmultiplied: a loss that needs no logits in full multiplies it itself."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.kernels.stored_weights import stored
from seq2seq.layers.configured import ConfiguredLayer


@keras.saving.register_keras_serializable(package="seq2seq")
class LogitFactors(ConfiguredLayer):
    """Returns the factors of an output layer's logits instead of their product.

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
        """Passes features on beside the weights they are to be multiplied with.

        Args:
            features: `(..., dim)`.

        Returns:
            `features`; and `kernel`, `(dim, classes)`, and `bias`, `(classes,)`, of a `Dense`
            layer, or the `embeddings`, `(classes, dim)`; these as they are stored.
        """
        layer = self.output_layer
        factors = {"features": features}
        if isinstance(layer, keras.layers.Dense):
            factors["kernel"] = stored(layer.kernel)
            if layer.use_bias:
                factors["bias"] = stored(layer.bias)
        else:
            factors["embeddings"] = stored(layer.embeddings)
        return factors
