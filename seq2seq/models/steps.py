"""Encoders and poolings that continue from given states: the layers of step models."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import DecoderStates
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.step_loop import scan
from seq2seq.models.cells import STATE_FIELDS
from seq2seq.models.encoder import Encoder

RUNNING_POOLINGS = ("last", "mean", "max")


@keras.saving.register_keras_serializable(package="seq2seq")
class EncoderSteps(ConfiguredLayer):
    """Continues an encoder from given states; the layers are the encoder's own.

    Args:
        encoder: An encoder of one direction.

    Raises:
        ValueError: If it also reads from right to left.
    """

    def __init__(self, encoder: Encoder, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        if encoder.backward_stack:
            raise ValueError(
                "its encoder reads from right to left, too; train it with "
                "model.encoder.bidirectional=false"
            )
        self.encoder = encoder

    def initial_states(self, prefix: str = "state") -> DecoderStates:
        """Returns the Keras inputs for the states: a list over layers of field -> input."""
        return [
            {
                field: keras.Input(
                    (self.encoder.units,), dtype="float32", name=f"{prefix}_{layer}_{field}"
                )
                for field in STATE_FIELDS[self.encoder.cell]
            }
            for layer in range(len(self.encoder.forward_stack))
        ]

    def call(
        self, inputs: tf.Tensor, states: DecoderStates, lengths: tf.Tensor
    ) -> tuple[tf.Tensor, DecoderStates]:
        """Encodes the next steps.

        Args:
            inputs: Float tensor `(batch, steps, features)`.
            states: A list over layers of field -> `(batch, units)`.
            lengths: The real steps of each row, `(batch,)`.

        Returns:
            Outputs `(batch, steps, units)`, and the next states.
        """
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        fields = STATE_FIELDS[self.encoder.cell]
        outputs, finals = inputs, []
        for layer, state in zip(self.encoder.forward_stack, states, strict=True):
            initial = [state[field] for field in fields]
            outputs, *final = layer(outputs, initial_state=initial, mask=mask)
            finals.append(dict(zip(fields, final, strict=True)))
        return outputs, finals


@keras.saving.register_keras_serializable(package="seq2seq")
class RunningPooling(ConfiguredLayer):
    """Pools each step with all steps before it.

    Args:
        kinds: Any of `last`, `mean` and `max`; their results are concatenated.
    """

    def __init__(self, kinds: Sequence[str], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.kinds = list(kinds)

    def call(
        self, outputs: tf.Tensor, states: dict[str, tf.Tensor], lengths: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Pools the next steps.

        Args:
            outputs: Float tensor `(batch, steps, units)`.
            states: `count` `(batch, 1)`, `sum` and `max` `(batch, units)`, which begin as zeros.
            lengths: The real steps of each row, `(batch,)`.

        Returns:
            `(batch, steps, kinds * units)`, and the next states.
        """
        mask = tf.sequence_mask(lengths, tf.shape(outputs)[1])

        def step(inputs: Any, states: dict[str, tf.Tensor]) -> tuple[tf.Tensor, Any]:
            output, real = tf.cast(inputs[0][:, 0], tf.float32), inputs[1]
            first = states["count"] == 0
            after = {
                "count": states["count"] + 1,
                "sum": states["sum"] + output,
                "max": tf.where(first, output, tf.maximum(states["max"], output)),
            }
            after = {name: tf.where(real, after[name], states[name]) for name in states}
            mean = after["sum"] / tf.maximum(after["count"], 1)
            pooled = {"last": output, "mean": mean, "max": after["max"]}
            joined = tf.concat([pooled[kind] for kind in self.kinds], axis=-1)
            return joined[:, tf.newaxis], after

        return scan(step, (outputs, mask), states)
