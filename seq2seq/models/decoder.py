"""The decoder: a stack of recurrent layers that starts from given states, and may attend."""

from collections.abc import Callable
from typing import Any, TypedDict

import keras
import tensorflow as tf

from seq2seq.layers.attention import Attention, Memory
from seq2seq.layers.bridge import DecoderStates, StateSpec
from seq2seq.models.cells import STATE_FIELDS, fraction, positive, recurrent_layer


class Decoded(TypedDict, total=False):
    """What a decoder returns.

    Attributes:
        outputs: `(batch, steps, units)`.
        states: The states after the last step, as they were given.
        alignments: The attention's weights, float32 `(batch, steps, source_length)`; left out
            without attention.
    """

    outputs: tf.Tensor
    states: DecoderStates
    alignments: tf.Tensor


@keras.saving.register_keras_serializable(package="seq2seq")
class Decoder(keras.layers.Layer):
    """Continues from states over any number of steps: a whole target, or one token.

    With an attention its outputs are Luong's attentional states, `tanh(W [context; output])`
    (https://arxiv.org/abs/1508.04025).

    Args:
        cell: `lstm` or `gru`.
        units: Units of each layer.
        layers: Number of stacked layers.
        dropout: Share of inputs dropped before each layer.
        attention: Makes the attention from the units of its queries.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int = 512,
        layers: int = 1,
        dropout: float = 0.0,
        attention: Callable[[int], Attention] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        positive("layers", layers)
        fraction("dropout", dropout)
        self.dropout = keras.layers.Dropout(dropout)
        self.stack = [
            recurrent_layer(cell, units, name=f"layer_{layer}") for layer in range(layers)
        ]
        self.spec = StateSpec(layers=layers, fields=STATE_FIELDS[cell], units=units)
        self.attention: Attention | None = None
        if attention is not None:
            self.attention = attention(units)
            self.attentional = keras.layers.Dense(
                units, activation="tanh", use_bias=False, name="attentional"
            )

    def call(
        self,
        inputs: tf.Tensor,
        states: DecoderStates,
        memory: Memory | None = None,
        training: bool | None = None,
    ) -> Decoded:
        """Runs the stack over the given steps.

        Args:
            inputs: Float tensor `(batch, steps, features)`.
            states: A list over layers of field -> `(batch, units)`.
            memory: What `attention.prepare` made of the encoder's outputs.
            training: Whether dropout is active.

        Returns:
            Outputs, states and alignments.
        """
        outputs, finals = inputs, []
        for recurrent, state in zip(self.stack, states, strict=True):
            outputs = self.dropout(outputs, training=training)
            initial = [state[field] for field in self.spec.fields]
            outputs, *final = recurrent(outputs, initial_state=initial, training=training)
            finals.append(dict(zip(self.spec.fields, final, strict=True)))
        if self.attention is None:
            return {"outputs": outputs, "states": finals}
        context, weights, _ = self.attention(outputs, memory, {})
        outputs = self.attentional(tf.concat([context, outputs], axis=-1))
        return {"outputs": outputs, "states": finals, "alignments": weights}
