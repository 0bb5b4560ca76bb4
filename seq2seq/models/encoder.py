"""The encoder: a stack of recurrent layers, in one or both directions."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import StateSpec
from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.dropout import Dropout
from seq2seq.layers.recurrent import both_directions
from seq2seq.models.recurrent_layers import STATE_FIELDS, layer_widths, recurrent_layer

States = list[dict[str, dict[str, tf.Tensor]]]
"""Final states: a list over layers of direction -> field -> `(batch, units)`."""


def named_states(prefix: str, states: States) -> dict[str, tf.Tensor]:
    """Returns each final state by a name such as `source.layer_0.forward.h`."""
    return {
        f"{prefix}.layer_{number}.{direction}.{field}": state
        for number, directions in enumerate(states)
        for direction, fields in directions.items()
        for field, state in fields.items()
    }


@keras.saving.register_keras_serializable(package="seq2seq")
class Encoder(ConfiguredLayer):
    """Encodes a whole sequence; returns its outputs and the final states of every layer.

    Args:
        cell: `lstm`, `gru`, `layer_norm_lstm` (see `LayerNormLSTM`), `min_gru`, `min_lstm` (see
            `MinGRU`) or `mogrifier_lstm` (see `MogrifierLSTM`).
        units: Units of each layer and direction; a list for a width of each layer.
        layers: Number of stacked layers; None for the length of that list, or 1.
        bidirectional: Whether each layer also reads from right to left; the outputs of both
            directions are concatenated.
        dropout: Share of inputs dropped before each layer.
        weight_dropout: Share of recurrent weights dropped for a batch, see `LSTM`.
        zoneout: Probability with which a unit's state stays at a step, see `LSTM`.

    Attributes:
        forward_spec: The layout of the states of the forward direction.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int | Sequence[int] = 256,
        layers: int | None = None,
        bidirectional: bool = True,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        widths = layer_widths(units, layers)
        fraction("dropout", dropout)
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)

        def stack(go_backwards: bool) -> list[keras.layers.Layer]:
            drops = {"weight_dropout": weight_dropout, "zoneout": zoneout}
            options = {**drops, "go_backwards": go_backwards, "dtype": self.dtype_policy}
            return [
                recurrent_layer(cell, width, name=f"layer_{number}", **options)
                for number, width in enumerate(widths)
            ]

        # Keras saves the layers of flat lists only, so one list a direction.
        self.forward_stack = stack(go_backwards=False)
        self.backward_stack = stack(go_backwards=True) if bidirectional else []
        self.drops = dropout + weight_dropout > 0 or any(self.forward_stack[0].zoneout)
        self.forward_spec = StateSpec(len(widths), STATE_FIELDS[cell], widths)

    def call(
        self, inputs: tf.Tensor, lengths: tf.Tensor, training: bool | None = None
    ) -> tuple[tf.Tensor, States]:
        """Encodes a padded batch, `(batch, source_length, features)`, of `lengths` `(batch,)`.

        Returns:
            Outputs of the last layer, `(batch, source_length, units)` or, of both directions,
            `(batch, source_length, 2 * units)`, and the final states: a list over layers of
            direction -> field -> `(batch, units)`.
        """
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        fields = self.forward_spec.fields
        outputs, states = inputs, []
        for layer, forward in enumerate(self.forward_stack):
            outputs = self.dropout(outputs, training=training)
            if self.backward_stack:
                outputs, final, back = both_directions(
                    forward, self.backward_stack[layer], outputs, mask, training
                )
                ends = {"forward": final, "backward": back}
            else:
                outputs, *final = forward(outputs, mask=mask, training=training)
                ends = {"forward": final}
            states.append({name: dict(zip(fields, end, strict=True)) for name, end in ends.items()})
        return outputs, states

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Returns no mask: lengths are passed explicitly."""
        return
