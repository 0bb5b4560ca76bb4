"""Encoders and poolings that continue from given states: the layers of step models."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.bridge import DecoderStates
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.models.encoder import Encoder
from seq2seq.models.recurrent_layers import run_layer
from seq2seq.ops.scan import scan

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

    def call(
        self, inputs: tf.Tensor, states: DecoderStates, lengths: tf.Tensor
    ) -> tuple[tf.Tensor, DecoderStates]:
        """Encodes the next steps, `(batch, steps, features)`, of which `lengths` are real.

        Returns:
            Outputs `(batch, steps, units)`, and the next states.
        """
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        fields = self.encoder.forward_spec.fields
        outputs, finals = inputs, []
        for layer, state in zip(self.encoder.forward_stack, states, strict=True):
            outputs, final = run_layer(layer, outputs, state, fields, mask=mask)
            finals.append(final)
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
        """Pools the next steps, `(batch, steps, units)`, of which `lengths` are real.

        Args:
            outputs: The steps.
            states: `count` `(batch, 1)`, `sum` and `max` `(batch, units)`, which begin as zeros.
            lengths: `(batch,)`.

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
