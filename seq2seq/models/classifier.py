"""The classifier: one or two texts, and numbers -> logits of classes."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import keras
import tensorflow as tf

from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.configured import ConfiguredLayer, default_policy
from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import Dropout, WordDropout
from seq2seq.layers.pooling import AttentionPooling, LastPooling, MaxPooling, MeanPooling
from seq2seq.models.base import (
    SequenceModel,
    VocabularyWeight,
    named_layers,
    output_weights,
)
from seq2seq.models.embeddings import InputEmbedding, token_embedding
from seq2seq.models.encoder import Encoder, named_states
from seq2seq.models.exportable_model import NestedModel
from seq2seq.models.incremental import RUNNING_POOLINGS, EncoderSteps, RunningPooling
from seq2seq.models.recurrent_layers import state_inputs

PoolingName = Literal["last", "mean", "max", "attention"]
Combination = Literal["tanh", "concatenate", "difference"]

POOLINGS = ("last", "mean", "max", "attention")
COMBINATIONS = ("tanh", "concatenate", "difference")
TEXTS = ("text", "text2")


@keras.saving.register_keras_serializable(package="seq2seq")
class Combine(ConfiguredLayer):
    """Combines the vectors of two texts.

    Args:
        kind: `tanh`: `tanh(W1 h1 + W2 h2 + b)` (Bowman et al., 2015,
            https://aclanthology.org/D15-1075); `concatenate`: `[h1; h2]`; `difference`:
            `[|h1 - h2|; h1 * h2]` (Tai et al., 2015, https://aclanthology.org/P15-1150), which
            is symmetric in the texts.
        units: Output width of `tanh`.

    Raises:
        ValueError: If an argument has an impossible value.
    """

    def __init__(self, kind: Combination = "difference", units: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kind not in COMBINATIONS:
            raise ValueError(f"kind: must be one of {', '.join(COMBINATIONS)}, got {kind!r}")
        positive("units", units)
        self.kind, self.units = kind, units
        if kind == "tanh":
            with default_policy(self.dtype_policy):
                self.first = Dense(units, name="first")
                self.second = Dense(units, use_bias=False, name="second")

    def call(self, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Maps two tensors `(batch, width)` to one, `(batch, ...)`."""
        if self.kind == "tanh":
            return tf.tanh(self.first(one) + self.second(other))
        if self.kind == "difference":
            one, other = tf.abs(one - other), one * other
        return tf.concat([one, other], axis=-1)


class Classifier(SequenceModel):
    """Encodes each text, pools its encoding, and maps the pooled vectors to logits.

    Args:
        vocabulary_size: Number of token ids.
        classes: Number of classes.
        encoder: The encoder.
        texts: Texts of an example, 1 or 2.
        numbers: Numbers of an example, beside the texts.
        pooling: How the encoder's outputs become a vector: any of `last`, `mean`, `max` and
            `attention`; several are concatenated.
        embedding_dim: Width of the token embeddings.
        embedding_scale: Standard deviation of the embeddings before training.
        embedding_dropout: Share of embedding components dropped, the same ones in all steps of a
            text (Gal & Ghahramani, 2016, https://arxiv.org/abs/1512.05287).
        word_dropout: Share of tokens replaced by the unknown token in training.
        output_dropout: Share of the pooled vector dropped before the output layer.
        attention_units: Width of the query of attention pooling.
        separate_encoders: Whether the second text has its own encoder.
        combination: Combines the vectors of two texts.

    Attributes:
        training_model: `{text, text_length}`, for two texts also `{text2, text2_length}`, and
            `numbers`, float32 `(batch, numbers)` -> logits `(batch, classes)`.
        loss_model: The same model.
        prediction_model: The same inputs -> `{logits}`, and with attention pooling the weights of
            the steps, float32 `(batch, steps)`, by text as `text_weights`.
        feature_model: The texts -> vectors by name: the final states of the encoder, such as
            `text.layer_0.forward.h`, and `text.pooled`, each `(batch, ...)`.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> classifier = Classifier(1000, 2, Encoder(units=32), pooling=["mean", "attention"])
        >>> logits = classifier.training_model({"text": ids, "text_length": lengths})
    """

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        encoder: Encoder,
        texts: int = 1,
        numbers: int = 0,
        pooling: Sequence[PoolingName] = ("last",),
        embedding_dim: int = 256,
        embedding_scale: float = 1.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        output_dropout: float = 0.0,
        attention_units: int = 128,
        separate_encoders: bool = False,
        combination: Combine | None = None,
    ) -> None:
        fraction("embedding_dropout", embedding_dropout)
        fraction("word_dropout", word_dropout)
        fraction("output_dropout", output_dropout)
        if not embedding_scale > 0:
            raise ValueError(f"embedding_scale: must be above 0, got {embedding_scale!r}")
        self._check_pooling(pooling)
        if texts not in (1, 2):
            raise ValueError(f"texts: must be 1 or 2, got {texts!r}")
        self.encoder = encoder
        self.encoders = [encoder] * texts
        if separate_encoders and texts == 2:
            self.encoders[1] = Encoder.from_config({**encoder.get_config(), "name": "encoder2"})
        self.word_dropout = WordDropout(word_dropout, name="word_dropout")
        self.embedding = token_embedding(
            vocabulary_size, embedding_dim, "embedding", embedding_scale
        )
        self.embedding_dropout = keras.layers.SpatialDropout1D(
            embedding_dropout, name="embedding_dropout"
        )
        self.poolings = [self._pooling(name, attention_units) for name in pooling]
        self.combine = combination or Combine()
        self.output_dropout = Dropout(output_dropout, name="output_dropout")
        self.output_layer = keras.layers.Dense(classes, name="logits")
        self.drops = embedding_dropout + word_dropout + output_dropout > 0 or encoder.drops
        self._connect(TEXTS[:texts], numbers)

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of each encoder."""
        parts = zip(("encoder", "encoder2"), dict.fromkeys(self.encoders), strict=False)
        return {
            name: layer
            for part, encoder in parts
            for name, layer in named_layers(
                part, encoder.forward_stack, encoder.backward_stack
            ).items()
        }

    def input_embedding(self) -> InputEmbedding:
        """Returns the embedding of all texts."""
        return InputEmbedding(self.embedding)

    def vocabulary_weights(self) -> list[VocabularyWeight]:
        """Returns the embedding of all texts, and the output layer of the labels."""
        embedding = VocabularyWeight("text", self.embedding.embeddings)
        return [embedding, *output_weights("labels", self.output_layer)]

    @cached_property
    def step_model(self) -> keras.Model:
        """The class of the text so far; of one text, pooled without attention."""
        kinds = [layer.name.removesuffix("_pooling") for layer in self.poolings]
        if not set(kinds) <= set(RUNNING_POOLINGS):
            raise ValueError(
                f"its pooling is {', '.join(kinds)}; a text that is not complete can be pooled by "
                f"{', '.join(RUNNING_POOLINGS)}"
            )
        if set(self.training_model.input) != {"text", "text_length"}:
            raise ValueError("it reads more than one text")
        encoder = EncoderSteps(self.encoder)
        width = self.encoder.forward_spec.widths[-1]
        states = {
            "layers": state_inputs(self.encoder.forward_spec, prefix="state_layers"),
            "pooled": {
                name: keras.Input((size,), dtype="float32", name=f"state_pooled_{name}")
                for name, size in (("count", 1), ("sum", width), ("max", width))
            },
        }
        text = keras.Input((None,), dtype="int32", name="text")
        length = keras.Input((), dtype="int32", name="length")
        outputs, layers = encoder(self.embedding(text), states["layers"], length)
        vectors, pooled = RunningPooling(kinds)(outputs, states["pooled"], length)
        after = {"layers": layers, "pooled": pooled}
        return NestedModel(
            {"text": text, "length": length, "states": states},
            {"logits": self.output_layer(vectors), "states": after},
            name="step",
        )

    @staticmethod
    def _check_pooling(pooling: Sequence[str]) -> None:
        known = ", ".join(POOLINGS)
        if isinstance(pooling, str) or not pooling or len(set(pooling)) < len(pooling):
            raise ValueError(f"pooling: must be a list of different ones of {known}")
        for name in pooling:
            if name not in POOLINGS:
                raise ValueError(f"pooling: must be some of {known}, got {name!r}")

    def _pooling(self, name: PoolingName, attention_units: int) -> keras.layers.Layer:
        if name == "attention":
            return AttentionPooling(attention_units, name="attention_pooling")
        if name == "last":
            return LastPooling(bool(self.encoder.backward_stack), name="last_pooling")
        return (MeanPooling if name == "mean" else MaxPooling)(name=f"{name}_pooling")

    def _connect(self, texts: Sequence[str], numbers: int) -> None:
        inputs: dict[str, Any] = {}
        vectors: list[Any] = []
        features: dict[str, Any] = {}
        weights: dict[str, Any] = {}
        for text, encoder in zip(texts, self.encoders, strict=True):
            inputs[text] = keras.Input((None,), dtype="int32", name=text)
            length = keras.Input((), dtype="int32", name=f"{text}_length")
            inputs[f"{text}_length"] = length
            embedded = self.embedding_dropout(self.embedding(self.word_dropout(inputs[text])))
            outputs, states = encoder(embedded, length)
            vector, weight = self._pool(outputs, length)
            vectors.append(vector)
            features |= named_states(text, states)
            features[f"{text}.pooled"] = vector
            if weight is not None:
                weights[f"{text}_weights"] = weight
        vector = vectors[0] if len(vectors) == 1 else self.combine(*vectors)
        if numbers:
            inputs["numbers"] = keras.Input((numbers,), dtype="float32", name="numbers")
            vector = keras.layers.Concatenate(name="with_numbers")([vector, inputs["numbers"]])
        logits = self.output_layer(self.output_dropout(vector))
        self.training_model = keras.Model(inputs, logits, name="training")
        self.loss_model = self.training_model
        self.prediction_model = keras.Model(
            inputs, {"logits": logits, **weights}, name="prediction"
        )
        inputs = {name: tensor for name, tensor in inputs.items() if name != "numbers"}
        self.feature_model = keras.Model(inputs, features, name="features")

    def _pool(self, outputs: Any, length: Any) -> tuple[Any, Any | None]:
        """Returns the pooled vector and, with attention pooling, the weights of the steps."""
        pooled, weights = [], None
        for pooling in self.poolings:
            if isinstance(pooling, AttentionPooling):
                vector, weights = pooling(outputs, length, return_weights=True)
            else:
                vector = pooling(outputs, length)
            pooled.append(vector)
        if len(pooled) == 1:
            return pooled[0], weights
        return keras.ops.concatenate(pooled, axis=-1), weights
