"""Stacks of recurrent layers that read from left to right, from any initial state."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import DecoderStates, StateSpec
from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import Dropout
from seq2seq.models.recurrent_layers import STATE_FIELDS, layer_widths, recurrent_layer, run_layer
from seq2seq.private_api import stored_value


@keras.saving.register_keras_serializable(package="seq2seq")
class RecurrentStack(ConfiguredLayer):
    """Stacks recurrent layers; states are values that go in and out.

    Args:
        cell: `lstm`, `gru`, `layer_norm_lstm` (see `LayerNormLSTM`), `min_gru`, `min_lstm` (see
            `MinGRU`) or `mogrifier_lstm` (see `MogrifierLSTM`).
        units: Units of each layer; a list for a width of each layer.
        layers: Number of stacked layers; None for the length of that list, or 1.
        dropout: Share of inputs dropped before each layer.
        weight_dropout: Share of recurrent weights dropped for a batch, see `LSTM`.
        zoneout: Probability with which a unit's state stays at a step, see `LSTM`.
        residual: Whether layers have residual connections (He et al., 2016,
            https://arxiv.org/abs/1512.03385), with a layer norm before each layer (Xiong et al.,
            2020, https://arxiv.org/abs/2002.04745) and dropout after it. Inputs are first mapped
            to `units`.
        feed_forward: With `residual`, the width of two dense layers that follow each recurrent one
            in the same way, as in a Transformer; 0 for none.

    Attributes:
        spec: The layout of the states.
        drops: Whether there is any dropout.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> stack = RecurrentStack(units=512, layers=2)
        >>> outputs, states = stack(first_half)
        >>> outputs, states = stack(second_half, states)
    """

    def __init__(
        self,
        cell: str = "lstm",
        units: int | Sequence[int] = 512,
        layers: int | None = None,
        dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        residual: bool = False,
        feed_forward: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # states stay float32
        widths = layer_widths(units, layers)
        layers, width = len(widths), widths[-1]
        fraction("dropout", dropout)
        if feed_forward and not residual:
            raise ValueError("feed_forward: needs residual=true")
        if feed_forward < 0:
            raise ValueError(f"feed_forward: must be at least 0, got {feed_forward!r}")
        if residual and len(set(widths)) > 1:
            raise ValueError(
                f"units: {list(widths)} are different widths, which cannot be added; "
                "residual=true needs equal ones"
            )
        options = {"weight_dropout": weight_dropout, "zoneout": zoneout}
        with default_policy(self.dtype_policy):
            self.dropout = Dropout(dropout)
            self.stack = [
                recurrent_layer(cell, units, name=f"layer_{layer}", **options)
                for layer, units in enumerate(widths)
            ]
            self.entrance = Dense(width, name="entrance") if residual else None
            norms = (layers * (2 if feed_forward else 1) + 1) if residual else 0
            self.norms = [keras.layers.LayerNormalization(name=f"norm_{n}") for n in range(norms)]
            self.feed_forward = [
                (
                    Dense(feed_forward, activation="relu", name=f"widen_{layer}"),
                    Dense(width, name=f"narrow_{layer}"),
                )
                for layer in range(layers if feed_forward else 0)
            ]
        self.drops = dropout + weight_dropout > 0 or any(self.stack[0].zoneout)
        self.spec = StateSpec(layers, STATE_FIELDS[cell], widths)

    def call(
        self,
        inputs: tf.Tensor,
        states: DecoderStates | None = None,
        lengths: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, DecoderStates]:
        """Runs the layers over any number of steps.

        Args:
            inputs: Float tensor `(batch, steps, features)`.
            states: A list over layers of field -> `(batch, units)`; None for zeros.
            lengths: Integer tensor `(batch,)`, the real steps of each row, at least 0; padding
                leaves the states as they are. None if all steps are real.
            training: Whether dropout is active.

        Returns:
            Outputs `(batch, steps, units)`, and the states after each row's last real step.

        Raises:
            ValueError: If states do not fit.
        """
        if states is not None:
            self.spec.check(states)
        mask = None if lengths is None else tf.sequence_mask(lengths, tf.shape(inputs)[1])
        finals: DecoderStates = []

        def recurrent(layer: int, sequence: tf.Tensor) -> tf.Tensor:
            state = None if states is None else states[layer]
            options = {"mask": mask, "training": training}
            outputs, final = run_layer(
                self.stack[layer], sequence, state, self.spec.fields, **options
            )
            finals.append(final)
            return outputs

        if self.entrance is None:
            outputs = inputs
            for layer in range(self.spec.layers):
                outputs = recurrent(layer, self.dropout(outputs, training=training))
        else:
            outputs = self._residual(self.entrance(inputs), recurrent, training)
        return outputs, finals

    def _residual(
        self, outputs: tf.Tensor, recurrent: Callable[[int, tf.Tensor], tf.Tensor], training: Any
    ) -> tf.Tensor:
        """Runs the layers with residual connections."""
        norms = iter(self.norms)
        for layer in range(self.spec.layers):
            update = recurrent(layer, next(norms)(outputs))
            outputs += self.dropout(update, training=training)
            if self.feed_forward:
                widen, narrow = self.feed_forward[layer]
                update = narrow(widen(next(norms)(outputs)))
                outputs += self.dropout(update, training=training)
        return next(norms)(outputs)

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        """Returns no mask: lengths are passed explicitly."""
        return


@keras.saving.register_keras_serializable(package="seq2seq")
class CarriedStack(ConfiguredLayer):
    """Carries the states of a stack over: row i continues row i of the batch before.

    As a layer with `stateful=True`, but each row is reset by itself, within the step, and a batch
    may have fewer rows than the one before. The states are non-trainable weights, so that
    checkpoints hold them; their gradient ends where the batch begins (truncated backpropagation
    through time).

    Several readings of a batch, one after the other on the axis of rows, all start from the states
    that are carried; those of the first reading are carried on.

    Args:
        stack: The layers, which others may share.
        batch_size: The most rows of a batch.

    Attributes:
        undoubled: The inputs that two readings of a batch share.
    """

    undoubled = ("reset",)

    def __init__(self, stack: RecurrentStack, batch_size: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        positive("batch_size", batch_size)
        self.stack = stack
        options = {"dtype": "float32", "trainable": False}
        self.carried = [
            self.add_weight((batch_size, width), "zeros", name=f"layer_{layer}_{field}", **options)
            for layer, width in enumerate(stack.spec.widths)
            for field in stack.spec.fields
        ]

    def call(self, inputs: tf.Tensor, reset: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Maps `(batch, steps, features)` to `(batch, steps, units)`, from the carried states.

        Rows where `reset`, booleans `(batch,)`, is true start from zeros. Of several readings, the
        inputs are `(readings * batch, steps, features)`.
        """
        batch = tf.shape(reset)[0]
        readings = tf.shape(inputs)[0] // batch
        fields = self.stack.spec.fields
        values = [
            tf.where(reset[:, tf.newaxis], 0.0, stored_value(variable)[:batch])
            for variable in self.carried
        ]
        values = [tf.tile(value, [readings, 1]) for value in values]
        states = [
            dict(zip(fields, values[first : first + len(fields)], strict=True))
            for first in range(0, len(values), len(fields))
        ]
        outputs, finals = self.stack(inputs, states, training=training)
        after = [final[field] for final in finals for field in fields]
        for variable, value in zip(self.carried, after, strict=True):
            others = stored_value(variable)[batch:]
            first = tf.cast(value[:batch], tf.float32)
            variable.assign(tf.concat([first, others], axis=0))
        return outputs
