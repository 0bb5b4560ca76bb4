"""The encoder-decoder: three Keras models on the same layer objects."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import keras
import tensorflow as tf

from seq2seq.layers.attention_scores import CoverageLoss
from seq2seq.layers.bridge import Bridge, StateSpec
from seq2seq.layers.checks import fraction, positive
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.copying import CopyGate, CopyMixture
from seq2seq.layers.dense import Dense, LogitFactors
from seq2seq.layers.dropout import Dropout, WordDropout
from seq2seq.layers.scheduled_sampling import Schedule, ScheduledSampling
from seq2seq.models.base import (
    SequenceModel,
    VocabularyWeight,
    named_layers,
    output_weights,
)
from seq2seq.models.decoder import Decoder
from seq2seq.models.embeddings import InputEmbedding, token_embedding
from seq2seq.models.encoder import Encoder, named_states
from seq2seq.models.exportable_model import NestedModel
from seq2seq.ops.dispatch import PackedWeights
from seq2seq.ops.gather import gather, gather_columns
from seq2seq.private_api import stored_value

Embeddings = Literal["separate", "tied", "shared"]


@keras.saving.register_keras_serializable(package="seq2seq")
class ReverseSource(ConfiguredLayer):
    """Reverses the real steps of each row; padding stays where it is."""

    def call(self, sequences: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Maps `(batch, source_length, ...)` to the same shape; `lengths` are `(batch,)`."""
        return tf.reverse_sequence(sequences, lengths, seq_axis=1)


class Translator(SequenceModel):
    """An encoder whose final states become the initial states of a decoder, through a bridge.

    `training_model` reads source and target at once (teacher forcing), `encoder_model` returns the
    states that decoding starts from, `decoder_model` makes one step of decoding.

    Args:
        source_vocabulary_size: Number of source token ids.
        target_vocabulary_size: Number of target token ids.
        encoder: The encoder.
        decoder: The decoder.
        bridge: Makes the bridge from the `StateSpec` that the decoder expects.
        embedding_dim: Width of the token embeddings.
        embeddings: `separate`; `tied` (the output layer is the target embedding, transposed;
            Press & Wolf, 2017, https://arxiv.org/abs/1608.05859); or `shared` (source, target and
            output are one matrix, which needs a joint vocabulary).
        output_dropout: Share of decoder outputs dropped before the output layer.
        word_dropout: Share of source and target tokens replaced by the unknown token in training.
        reverse_source: Whether the encoder reads the source from its end (Sutskever et al., 2014,
            https://arxiv.org/abs/1409.3215).
        copy: Whether the output may also copy a token of the source, see `CopyMixture`. Logits are
            then log-probabilities.
        coverage_loss: Weight of the loss for attending to the same source tokens again, see
            `CoverageLoss`.
        int8_search: Whether searches, also those of validation, compute the decoder's recurrent and
            dense layers in 8 bits, where the processor has instructions for that, see
            `seq2seq.ops.dispatch.PackedWeights`.
        scheduled_sampling: The schedule by which, in training, the decoder also reads tokens that
            it has drawn itself, see `ScheduledSampling`; null for teacher forcing alone.

    Attributes:
        training_model: `{source, source_length, target}` -> logits
            `(batch, target_length, target_vocabulary_size)`.
        loss_model: The same inputs -> the factors of the logits, see `LogitFactors`; of the tokens
            that scheduled sampling gives in training. With attention also `alignments`.
        encoder_model: `{source, source_length}` -> `{outputs, states}`, where `outputs` is
            `(batch, source_length, units)` and `states` are the decoder's initial states. With
            attention also `memory`, see `seq2seq.layers.attention.Memory`.
        decoder_model: `{target, states}` -> `{logits, states}`; `target` is `(batch, 1)`, `logits`
            `(batch, 1, target_vocabulary_size)`, `states` a list over layers of field ->
            `(batch, units)`. With attention it also takes `memory` and returns `alignments`,
            float32 `(batch, 1, source_length)`; an attention with states has one more entry of
            `states`.
        feature_model: `{source, source_length}` -> the final states of the encoder by name.
        alignment_model: `{source, source_length, target}` -> alignments, float32 `(batch,
            target_length, source_length)`; `None` without attention.

    Raises:
        ValueError: If an argument has an impossible value, or two of them do not fit.

    Example:
        >>> translator = Translator(
        ...     source_vocabulary_size=100,
        ...     target_vocabulary_size=50,
        ...     encoder=Encoder(units=32),
        ...     decoder=Decoder(units=64),
        ...     bridge=ConcatenateBridge,
        ... )
        >>> start = translator.encoder_model({"source": source, "source_length": lengths})
        >>> step = translator.decoder_model({"target": first, "states": start["states"]})

    With attention, `Decoder(units=64, attention=LuongAttention)`, a step also reads the memory:
        >>> step = translator.decoder_model(
        ...     {"target": first, "states": start["states"], "memory": start["memory"]}
        ... )
    """

    has_int8_search: ClassVar[bool] = True

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        encoder: Encoder,
        decoder: Decoder,
        bridge: Callable[[StateSpec], Bridge],
        embedding_dim: int = 256,
        embeddings: Embeddings = "separate",
        output_dropout: float = 0.0,
        word_dropout: float = 0.0,
        reverse_source: bool = False,
        copy: bool = False,
        coverage_loss: float = 0.0,
        int8_search: bool = False,
        scheduled_sampling: Schedule | None = None,
    ) -> None:
        positive("embedding_dim", embedding_dim)
        fraction("output_dropout", output_dropout)
        fraction("word_dropout", word_dropout)
        self.encoder = encoder
        self.decoder = decoder
        self.bridge = bridge(decoder.spec)
        if int8_search and any(layer.is_plain for layer in decoder.stack):
            raise ValueError(
                "int8_search: the decoder's recurrent layers are computed in 8 bits only with "
                "cell=lstm or gru, and without zoneout"
            )
        self.int8_search = int8_search
        self.reverse_source = ReverseSource(name="reverse_source") if reverse_source else None
        self.drops = output_dropout + word_dropout > 0 or encoder.drops or decoder.drops
        self.dropout = Dropout(output_dropout, name="output_dropout")
        self.word_dropout = (  # with the layer, its random state would be part of saved models
            WordDropout(word_dropout, name="word_dropout")
            if word_dropout
            else keras.layers.Identity()
        )
        self._embed(embeddings, source_vocabulary_size, target_vocabulary_size, embedding_dim)
        self._check_use_of_attention(copy, coverage_loss)
        self.copy_gate = CopyGate(name="copy_gate") if copy else None
        self.copy_mixture = CopyMixture(name="copy_mixture")
        self.coverage_loss = (
            CoverageLoss(coverage_loss, name="coverage_loss") if coverage_loss else None
        )
        self.scheduled_sampling = scheduled_sampling
        self._connect()

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of encoder and decoder."""
        encoder = self.encoder
        return named_layers(
            "encoder", encoder.forward_stack, encoder.backward_stack
        ) | named_layers("decoder", self.decoder.stack)

    def input_embedding(self) -> InputEmbedding:
        """Returns the source embedding."""
        shared = self.source_embedding is self.target_embedding
        scale = math.sqrt(self.source_embedding.output_dim) if shared else 1.0
        return InputEmbedding(self.source_embedding, scale)

    def vocabulary_weights(self) -> list[VocabularyWeight]:
        """Returns the embeddings of both sides and the output layer."""
        embeddings = {
            id(layer): VocabularyWeight(side, layer.embeddings)
            for side, layer in (
                ("source", self.source_embedding),
                ("target", self.target_embedding),
            )
        }
        return [*embeddings.values(), *output_weights("target", self.output_layer)]

    def select_outputs(self, weights: PackedWeights, tokens: tf.Tensor) -> None:
        """Makes steps with these packed weights return logits of some target tokens alone.

        Call it where the first step is traced, before it; `tokens` are int32 `(selected,)`.
        """
        if self.output_layer is None:
            embeddings = self.target_embedding.embeddings
            weights.select(embeddings, gather(stored_value(embeddings), tokens))
            return
        kernel, bias = self.output_layer.kernel, self.output_layer.bias
        weights.select(kernel, gather_columns(stored_value(kernel), tokens))
        weights.select(bias, tf.gather(stored_value(bias), tokens))

    def _embed(self, embeddings: str, source_size: int, target_size: int, dim: int) -> None:
        """Makes the embeddings and the output layer, which share weights if they are tied."""
        if embeddings not in ("separate", "tied", "shared"):
            raise ValueError(f"embeddings: must be separate, tied or shared, got {embeddings!r}")
        if embeddings == "shared" and source_size != target_size:
            raise ValueError(
                "embeddings: 'shared' needs one vocabulary for source and target "
                f"(tokenizer.joint=true); they have {source_size} and {target_size} ids"
            )
        tied = embeddings != "separate"
        self.scale = keras.layers.Rescaling(math.sqrt(dim), name="scale") if tied else None
        deviation = dim**-0.5 if tied else 1.0
        self.target_embedding = token_embedding(
            target_size, dim, "target_embedding", deviation, tied
        )
        self.source_embedding = (
            self.target_embedding
            if embeddings == "shared"
            else token_embedding(source_size, dim, "source_embedding")
        )
        self.projection = (
            Dense(dim, use_bias=False, name="projection")
            if tied and dim != self.decoder.spec.widths[-1]
            else None
        )
        self.output_layer = None if tied else Dense(target_size, name="logits")

    def _check_use_of_attention(self, copy: bool, coverage_loss: float) -> None:
        sizes = self.source_embedding.input_dim, self.target_embedding.input_dim
        if coverage_loss < 0:
            raise ValueError(f"coverage_loss: must be at least 0, got {coverage_loss!r}")
        if self.decoder.attention is None and (copy or coverage_loss):
            name = "copy" if copy else "coverage_loss"
            raise ValueError(f"{name}: needs an attention, such as model/attention=luong")
        if copy and sizes[0] != sizes[1]:
            raise ValueError(
                "copy: needs one vocabulary for source and target (tokenizer.joint=true); they "
                f"have {sizes[0]} and {sizes[1]} ids"
            )

    def _connect(self) -> None:
        source = keras.Input((None,), dtype="int32", name="source")
        source_length = keras.Input((), dtype="int32", name="source_length")
        target = keras.Input((None,), dtype="int32", name="target")
        outputs, states, start, memory = self._encode(source, source_length)
        decoded = self._decode(target, start, memory)

        def like(tensor: Any, name: str) -> Any:
            return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)

        step = {
            "target": target,
            "states": [
                {field: like(tensor, f"state_{number}_{field}") for field, tensor in entry.items()}
                for number, entry in enumerate(start)
            ],
        }
        if memory:
            step["memory"] = {
                name: like(tensor, f"memory_{name}") for name, tensor in memory.items()
            }
        stepped = self._decode(target, step["states"], step.get("memory", {}))
        del stepped["loss"]

        sources = {"source": source, "source_length": source_length}
        pairs = {**sources, "target": target}
        self.training_model = keras.Model(pairs, decoded["logits"], name="training")
        features = named_states("source", states)
        self.feature_model = keras.Model(sources, features, name="features")
        encoded = {"outputs": outputs, "states": start} | ({"memory": memory} if memory else {})
        self.encoder_model = NestedModel(sources, encoded, name="encoder")
        self.decoder_model = NestedModel(step, stepped, name="decoder")
        terms = decoded["loss"]
        if self.scheduled_sampling is not None:
            terms = self._sampled_terms(self.scheduled_sampling, target, start, memory)
        factors = LogitFactors(self.output_layer or self.target_embedding, name="logit_factors")
        self.loss_model = keras.Model(
            pairs, {**factors(terms.pop("features")), **terms}, name="loss"
        )
        self.alignment_model = (
            keras.Model(pairs, decoded["alignments"], name="alignment") if memory else None
        )

    def _sampled_terms(
        self, schedule: Schedule, target: Any, start: Any, memory: Any
    ) -> dict[str, Any]:
        """Returns the terms of the loss for the tokens that scheduled sampling gives."""

        def decode(inputs: Any) -> Any:
            return self.decoder_model(inputs, training=False)

        sampling = ScheduledSampling(schedule, decode, name="scheduled_sampling")
        return self._decode(sampling(target, start, memory), start, memory)["loss"]

    def _encode(self, source: Any, source_length: Any) -> tuple[Any, Any, Any, Any]:
        tokens = self.word_dropout(source)
        if self.reverse_source is not None:
            tokens = self.reverse_source(tokens, source_length)
        vectors = self.source_embedding(tokens)
        if self.scale is not None and self.source_embedding is self.target_embedding:
            vectors = self.scale(vectors)
        outputs, states = self.encoder(vectors, source_length)
        start = self.bridge(states)
        if self.decoder.attention is None:
            return outputs, states, start, {}
        if self.reverse_source is not None:  # alignments are over the source in its own order
            outputs = self.reverse_source(outputs, source_length)
        memory = self.decoder.attention.prepare(outputs, source_length)
        if self.copy_gate is not None:
            memory["tokens"] = source
        return outputs, states, self.decoder.start(start, memory), memory

    def _decode(self, target: Any, states: Any, memory: Any) -> dict[str, Any]:
        vectors = self.target_embedding(self.word_dropout(target))
        if self.scale is not None:
            vectors = self.scale(vectors)
        decoded = self.decoder(vectors, states, memory)
        outputs = decoded.pop("outputs")
        features = self.dropout(outputs)
        if self.projection is not None:
            features = self.projection(features)
        logits, loss = self._logits(features), {"features": features}
        if memory:
            loss["alignments"] = decoded["alignments"]
        if self.coverage_loss is not None:
            loss["penalty"] = self.coverage_loss(decoded["alignments"])
        if self.copy_gate is not None:
            alignments = decoded["alignments"]
            generated, copied = self.copy_gate(outputs, vectors, alignments)
            logits = self.copy_mixture(logits, (generated, copied), alignments, memory)
            loss.update(generated=generated, copied=copied, tokens=memory["tokens"])
        return {"logits": logits, "loss": loss, **decoded}

    def _logits(self, features: Any) -> Any:
        if self.output_layer is not None:
            return self.output_layer(features)
        return self.target_embedding(features, reverse=True)
