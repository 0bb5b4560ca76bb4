"""The language model: each token is predicted from all before it."""

import math
from typing import Any, Literal

import keras
import tensorflow as tf

from seq2seq.data.tokenizers.tokenizer import START
from seq2seq.layers.bridge import DecoderStates
from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.dense import Dense, LogitFactors
from seq2seq.layers.dropout import Dropout
from seq2seq.models.base import (
    SequenceModel,
    VocabularyWeight,
    named_layers,
    output_weights,
)
from seq2seq.models.embeddings import InputEmbedding, token_embedding
from seq2seq.models.encoder import named_states
from seq2seq.models.exportable_model import NestedModel
from seq2seq.models.recurrent_layers import state_inputs
from seq2seq.models.stack import CarriedStack, RecurrentStack


class LanguageModel(SequenceModel):
    """Embedding -> recurrent layers -> logits of the next token.

    Args:
        vocabulary_size: Number of token ids.
        batch_size: The most rows of a training batch, whose states are carried.
        stack: The recurrent layers.
        embedding_dim: Width of the token embeddings.
        embeddings: `separate`; or `tied`: the output layer is the embedding, transposed (Press &
            Wolf, 2017, https://arxiv.org/abs/1608.05859).
        output_dropout: Share of the last layer's outputs dropped before the output layer.

    Attributes:
        training_model: `{tokens}` -> logits `(batch, steps, vocabulary_size)`, from a state of
            zeros.
        loss_model: `{tokens, reset}` -> the factors of the logits: what the loss takes, see
            `LogitFactors`. The state of row i goes on in row i of the next batch, unless `reset`,
            booleans `(batch,)`, says that it starts anew.
        step_model: `{tokens, length, states}` -> `{logits, states}`: continues from given states
            over `length` `(batch,)` tokens of each row of `tokens` `(batch, steps)`. States are a
            list over layers of field -> `(batch, units)`.
        feature_model: `{source, source_length}` -> the states after the last token by name.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> model = LanguageModel(100, batch_size=32, stack=RecurrentStack(units=64))
        >>> logits = model.training_model({"tokens": np.array([[2, 5, 6]])})
    """

    start_tokens = (START,)

    def __init__(
        self,
        vocabulary_size: int,
        batch_size: int,
        stack: RecurrentStack,
        embedding_dim: int = 256,
        embeddings: Literal["separate", "tied"] = "separate",
        output_dropout: float = 0.0,
    ) -> None:
        positive("embedding_dim", embedding_dim)
        fraction("output_dropout", output_dropout)
        if embeddings not in ("separate", "tied"):
            raise ValueError(f"embeddings: must be separate or tied, got {embeddings!r}")
        self.stack = stack
        self.drops = output_dropout > 0 or stack.drops
        self.carried_stack = CarriedStack(stack, batch_size, name="carried_stack")
        self.dropout = Dropout(output_dropout, name="output_dropout")
        self._embed(embeddings == "tied", vocabulary_size, embedding_dim)
        self._connect()

    def _embed(self, tied: bool, size: int, dim: int) -> None:
        self.scale = keras.layers.Rescaling(math.sqrt(dim), name="scale") if tied else None
        deviation = dim**-0.5 if tied else 1.0
        self.embedding = token_embedding(size, dim, "embedding", deviation, tied)
        self.projection = (
            Dense(dim, use_bias=False, name="projection")
            if tied and dim != self.stack.spec.widths[-1]
            else None
        )
        self.output_layer = None if tied else keras.layers.Dense(size, name="logits")

    def _connect(self) -> None:
        tokens = keras.Input((None,), dtype="int32", name="tokens")
        reset = keras.Input((), dtype="bool", name="reset")
        length = keras.Input((), dtype="int32", name="length")
        states = state_inputs(self.stack.spec)
        vectors = self._vectors(tokens)
        outputs, _ = self.stack(vectors)
        self.training_model = keras.Model(
            {"tokens": tokens}, self._logits(self._features(outputs)), name="training"
        )
        factors = LogitFactors(self.output_layer or self.embedding, name="logit_factors")
        features = self._features(self.carried_stack(vectors, reset))
        self.loss_model = keras.Model(
            {"tokens": tokens, "reset": reset}, factors(features), name="loss"
        )
        outputs, after = self.stack(vectors, states, length)
        self.step_model = NestedModel(
            {"tokens": tokens, "length": length, "states": states},
            {"logits": self._logits(self._features(outputs)), "states": after},
            name="step",
        )
        source = keras.Input((None,), dtype="int32", name="source")
        source_length = keras.Input((), dtype="int32", name="source_length")
        _, finals = self.stack(self._vectors(source), lengths=source_length)
        features = named_states("source", [{"forward": final} for final in finals])
        inputs = {"source": source, "source_length": source_length}
        self.feature_model = keras.Model(inputs, features, name="features")

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of the stack."""
        return named_layers("stack", self.stack.stack)

    def input_embedding(self) -> InputEmbedding:
        """Returns the embedding."""
        scale = 1.0 if self.scale is None else math.sqrt(self.embedding.output_dim)
        return InputEmbedding(self.embedding, scale)

    def vocabulary_weights(self) -> list[VocabularyWeight]:
        """Returns the embedding and the output layer."""
        embedding = VocabularyWeight("text", self.embedding.embeddings)
        return [embedding, *output_weights("text", self.output_layer)]

    def initial_states(self, rows: tf.Tensor | int) -> DecoderStates:
        """Returns the states at the start of a text: zeros, `(rows, units)` each."""
        spec = self.stack.spec
        return [{field: tf.zeros((rows, width)) for field in spec.fields} for width in spec.widths]

    def read(self, tokens: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, DecoderStates]:
        """Reads prompts up to their last tokens, which `step` continues from.

        Args:
            tokens: int32 `(batch, steps)`, each row with the start token first.
            lengths: int32 `(batch,)`, the real tokens of each row, at least 1.

        Returns:
            The last tokens, `(batch,)`, and the states before they are read.
        """
        states = self.initial_states(tf.shape(tokens)[0])
        before = {"tokens": tokens, "length": lengths - 1, "states": states}
        last = tf.gather(tokens, lengths - 1, batch_dims=1)
        return last, self.step_model(before)["states"]

    def step(self, tokens: tf.Tensor, states: DecoderStates) -> tuple[tf.Tensor, DecoderStates]:
        """Reads one token, int32 `(rows,)`: the step function of `seq2seq.decoding`.

        Returns:
            Logits `(rows, vocabulary_size)`, and the next states.
        """
        inputs = {"tokens": tokens[:, tf.newaxis], "length": tf.ones_like(tokens)}
        outputs = self.step_model({**inputs, "states": states})
        return outputs["logits"][:, 0], outputs["states"]

    def _vectors(self, tokens: Any) -> Any:
        vectors = self.embedding(tokens)
        return vectors if self.scale is None else self.scale(vectors)

    def _features(self, outputs: Any) -> Any:
        features = self.dropout(outputs)
        return features if self.projection is None else self.projection(features)

    def _logits(self, features: Any) -> Any:
        if self.output_layer is not None:
            return self.output_layer(features)
        return self.embedding(features, reverse=True)
