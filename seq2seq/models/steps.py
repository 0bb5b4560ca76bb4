"""Models that read from left to right, as models that go on from given states."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.models.cells import STATE_FIELDS
from seq2seq.models.classifier import Classifier
from seq2seq.models.encoder import Encoder
from seq2seq.models.language_model import LanguageModel
from seq2seq.models.nested_model import NestedModel
from seq2seq.models.tagger import Tagger
from seq2seq.ops.scan import scan

RUNNING_POOLINGS = ("last", "mean", "max")


def step_model(model: Any) -> keras.Model:
    """Returns a Keras model that goes on from given states, on the layers of a task's model.

    Args:
        model: A `LanguageModel`; a `Tagger` that reads words alone; or a `Classifier` of one text.

    Returns:
        `{..., length, states}` -> `{logits, states}`. What is read is `(batch, steps)`, and
        `logits` are `(batch, steps, classes)`: those of each tag, or of the class of the text so
        far. The states begin as zeros.

    Raises:
        ValueError: If the model reads its whole input before it predicts.
    """
    if isinstance(model, LanguageModel):
        return model.step_model
    if isinstance(model, Tagger):
        return _tagger_steps(model)
    if isinstance(model, Classifier):
        return _classifier_steps(model)
    raise ValueError(f"a {type(model).__name__} reads its whole input before it predicts")


@keras.saving.register_keras_serializable(package="seq2seq")
class EncoderSteps(ConfiguredLayer):
    """An encoder that goes on from given states; the layers are the encoder's own.

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

    def call(self, inputs: tf.Tensor, states: Any, lengths: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Goes on over some steps.

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
    """What pooling gives after each step: of that step and all before it.

    Args:
        kinds: Some of `last`, `mean` and `max`; what they give is concatenated.
    """

    def __init__(self, kinds: Sequence[str], **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.kinds = list(kinds)

    def call(
        self, outputs: tf.Tensor, states: dict[str, tf.Tensor], lengths: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Goes on over some steps.

        Args:
            outputs: Float tensor `(batch, steps, units)`.
            states: `count` `(batch, 1)`, `sum` and `max` `(batch, units)`, which begin as zeros.
            lengths: The real steps of each row, `(batch,)`.

        Returns:
            `(batch, steps, units)` for each kind, side by side, and the next states.
        """
        mask = tf.sequence_mask(lengths, tf.shape(outputs)[1])

        def step(now: Any, states: dict[str, tf.Tensor]) -> tuple[tf.Tensor, Any]:
            output, real = tf.cast(now[0][:, 0], tf.float32), now[1]
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


def _tagger_steps(tagger: Tagger) -> keras.Model:
    if tagger.output != "softmax":
        raise ValueError(
            f"its tags are chosen together (model.output={tagger.output}); train it with "
            "model.output=softmax"
        )
    if set(tagger.inputs) != {"words", "length"}:
        raise ValueError("it reads more than words (characters, columns or pretrained vectors)")
    trained = tagger.training_model
    states = _encoder_states(tagger.encoder)
    length = tagger.inputs["length"]
    sequence = trained.get_layer("before").output
    outputs, after = EncoderSteps(tagger.encoder)(sequence, states, length)
    logits = trained.get_layer("logits")(outputs)
    return NestedModel(
        {**tagger.inputs, "states": states}, {"logits": logits, "states": after}, name="step"
    )


def _classifier_steps(classifier: Classifier) -> keras.Model:
    kinds = [layer.name.removesuffix("_pooling") for layer in classifier.poolings]
    if not set(kinds) <= set(RUNNING_POOLINGS):
        raise ValueError(
            f"its pooling is {', '.join(kinds)}; what is read so far can be pooled by "
            f"{', '.join(RUNNING_POOLINGS)}"
        )
    if set(classifier.training_model.input) != {"text", "text_length"}:
        raise ValueError("it reads more than one text")
    encoder = classifier.encoder
    states = {
        "layers": _encoder_states(encoder, "state_layers"),
        "pooled": {
            name: keras.Input((width,), dtype="float32", name=f"state_pooled_{name}")
            for name, width in {"count": 1, "sum": encoder.units, "max": encoder.units}.items()
        },
    }
    text = keras.Input((None,), dtype="int32", name="text")
    length = keras.Input((), dtype="int32", name="length")
    outputs, layers = EncoderSteps(encoder)(classifier.embedding(text), states["layers"], length)
    vectors, pooled = RunningPooling(kinds)(outputs, states["pooled"], length)
    return NestedModel(
        {"text": text, "length": length, "states": states},
        {
            "logits": classifier.output_layer(vectors),
            "states": {"layers": layers, "pooled": pooled},
        },
        name="step",
    )


def _encoder_states(encoder: Encoder, prefix: str = "state") -> list[dict[str, Any]]:
    return [
        {
            field: keras.Input((encoder.units,), dtype="float32", name=f"{prefix}_{layer}_{field}")
            for field in STATE_FIELDS[encoder.cell]
        }
        for layer in range(len(encoder.forward_stack))
    ]
