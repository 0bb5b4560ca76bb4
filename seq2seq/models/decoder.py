"""The decoder: a stack of recurrent layers that starts from given states."""

from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import DecoderStates, StateSpec
from seq2seq.models.cells import STATE_FIELDS, fraction, positive, recurrent_layer


@keras.saving.register_keras_serializable(package="seq2seq")
class Decoder(keras.layers.Layer):
    """Continues from states over any number of steps: a whole target, or one token.

    Args:
        cell: `lstm` or `gru`.
        units: Units of each layer.
        layers: Number of stacked layers.
        dropout: Share of inputs dropped before each layer.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int = 512,
        layers: int = 1,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        positive("layers", layers)
        fraction("dropout", dropout)
        self.dropout = keras.layers.Dropout(dropout)
        self.stack = [
            recurrent_layer(cell, units, name=f"layer_{layer}") for layer in range(layers)
        ]
        self.spec = StateSpec(layers=layers, fields=STATE_FIELDS[cell], units=units)

    def call(
        self, inputs: tf.Tensor, states: DecoderStates, training: bool | None = None
    ) -> tuple[tf.Tensor, DecoderStates]:
        """Runs the stack over the given steps.

        Args:
            inputs: Float tensor `(batch, steps, features)`.
            states: A list over layers of field -> `(batch, units)`.
            training: Whether dropout is active.

        Returns:
            Outputs `(batch, steps, units)` and the states after the last step, as `states`.
        """
        outputs, finals = inputs, []
        for recurrent, state in zip(self.stack, states, strict=True):
            outputs = self.dropout(outputs, training=training)
            initial = [state[field] for field in self.spec.fields]
            outputs, *final = recurrent(outputs, initial_state=initial, training=training)
            finals.append(dict(zip(self.spec.fields, final, strict=True)))
        return outputs, finals
