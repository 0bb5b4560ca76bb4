"""The tagger: a label for each token of a sequence."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from seq2seq.layers.checks import fraction
from seq2seq.layers.configured import ConfiguredLayer
from seq2seq.layers.crf import CRF, constrained
from seq2seq.layers.dense import Dense
from seq2seq.layers.dropout import EmbeddingDropout, WordDropout
from seq2seq.layers.embedding import Embedding
from seq2seq.models.base import SequenceModel, named_layers
from seq2seq.models.embeddings import InputEmbedding, token_embedding
from seq2seq.models.encoder import Encoder, named_states
from seq2seq.models.exportable_model import NestedModel
from seq2seq.models.incremental import EncoderSteps
from seq2seq.models.recurrent_layers import state_inputs

Output = Literal["softmax", "constrained_softmax", "crf"]


@keras.saving.register_keras_serializable(package="seq2seq")
class Respelled(ConfiguredLayer):
    """Looks up the spelling vector of each token.

    Attributes:
        undoubled: The inputs that two readings of a batch share, as they have no axis of rows.
    """

    undoubled = ("characters", "character_length")

    def call(self, vectors: tf.Tensor, spelling: tf.Tensor) -> tf.Tensor:
        """Maps `(spellings, features)` and `(batch, steps)` to `(batch, steps, features)`."""
        return tf.gather(vectors, spelling)


class Tagger(SequenceModel):
    """Embeds words, their characters and further columns; an encoder and an output layer follow.

    Args:
        sizes: The number of ids of `words` (0 is padding, 1 unknown), of `characters` (0 if they
            are not used) and, by name, of further `columns`; and rows and width of the pretrained
            `vectors`, or `None`.
        labels: Number of labels.
        allowed: Which label may follow which, see `CRF`; `None` allows all.
        encoder: The encoder.
        character_features: Makes the layer that reads characters from their number; `None` for
            no characters.
        embedding_dim: Width of the trained word embeddings; 0 for pretrained vectors alone.
        column_dim: Width of the embeddings of each further column.
        tune_vectors: Whether pretrained vectors are trained further.
        word_dropout: Share of the words replaced by the unknown word in training.
        embedding_dropout: Share of the vocabulary whose embeddings are dropped, everywhere in the
            batch (Gal & Ghahramani, 2016, https://arxiv.org/abs/1512.05287).
        locked_dropout: Share of the features dropped before and after the encoder, the same ones
            at every step of a sequence (variational dropout, see there).
        output: `softmax`, each label by itself; `constrained_softmax`, trained the same way, which
            predicts the best allowed sequence; or `crf`.

    Attributes:
        training_model: A batch of sentences -> `logits`, `(batch, steps, labels)`, and with a CRF
            `transitions`, `(labels + 1, labels + 1)`.
        loss_model: The same model.
        spelling_model: `characters` and `character_length` -> the features of each spelling,
            `(spellings, features)`; `None` without characters.
        prediction_model: As `training_model`, with `spelled`, the output of `spelling_model`, in
            place of its inputs -> `logits` and `transitions` to be searched; with `softmax` only
            `logits`.
        feature_model: Inputs of `prediction_model` -> the final states of the encoder by name.

    Raises:
        ValueError: If an argument has an impossible value.

    Example:
        >>> sizes = {"words": 9, "characters": 0, "columns": {}, "vectors": None}
        >>> tagger = Tagger(sizes, labels=3, encoder=Encoder(units=8))
        >>> tagger.loss_model({"words": np.array([[4, 5]]), "length": np.array([2])})
    """

    def __init__(
        self,
        sizes: Mapping[str, Any],
        labels: int,
        encoder: Encoder,
        allowed: Sequence[Sequence[bool]] | None = None,
        character_features: Callable[[int], keras.layers.Layer] | None = None,
        embedding_dim: int = 100,
        column_dim: int = 16,
        tune_vectors: bool = False,
        word_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        output: Output = "crf",
    ) -> None:
        if output not in ("softmax", "constrained_softmax", "crf"):
            raise ValueError(f"output: must be softmax, constrained_softmax or crf, got {output!r}")
        characters, columns, vectors = (
            sizes[name] for name in ("characters", "columns", "vectors")
        )
        if embedding_dim == 0 and vectors is None:
            raise ValueError("embedding_dim: 0 needs pretrained vectors (tokenizer.vectors)")
        if bool(characters) != (character_features is not None):
            raise ValueError(
                "character_features: the tokenizer reads characters (tokenizer.characters) if and "
                "only if the model does; one of them does not"
            )
        self.encoder, self.output, self.allowed = encoder, output, allowed
        self._make_inputs(columns, vectors, characters)
        self._make_embeddings(sizes, embedding_dim, column_dim, word_dropout, embedding_dropout)
        if self.vector_embedding is not None:
            self.vector_embedding.trainable = tune_vectors
        self.spelling_model = self._spelling_model(character_features, characters)
        fraction("locked_dropout", locked_dropout)
        self.drops = word_dropout + embedding_dropout + locked_dropout > 0 or encoder.drops
        self.before = keras.layers.SpatialDropout1D(locked_dropout, name="before")
        self.behind = keras.layers.SpatialDropout1D(locked_dropout, name="behind")
        self.output_layer = Dense(labels, name="logits")
        self._connect(labels)

    def set_vectors(self, vectors: np.ndarray) -> None:
        """Sets the pretrained vectors, `(rows, width)`.

        Raises:
            ValueError: If the model was made without.
        """
        if self.vector_embedding is None:
            raise ValueError("vectors: this tagger was made without pretrained vectors")
        self.vector_embedding.set_weights([vectors])

    def recurrent_layers(self) -> dict[str, keras.layers.Layer]:
        """Returns the recurrent layers of the encoder."""
        return named_layers("encoder", self.encoder.forward_stack, self.encoder.backward_stack)

    def input_embedding(self) -> InputEmbedding | None:
        """Returns the word embedding, if there is one."""
        return None if self.embedding is None else InputEmbedding(self.embedding)

    @cached_property
    def step_model(self) -> keras.Model:
        """The tagger of words alone, with `softmax`, on an encoder of one direction."""
        if self.output != "softmax":
            raise ValueError(
                f"its tags are chosen together (model.output={self.output}); train it with "
                "model.output=softmax"
            )
        if set(self.inputs) != {"words", "length"}:
            raise ValueError("it reads more than words (characters, columns or pretrained vectors)")
        encoder = EncoderSteps(self.encoder)
        states = state_inputs(self.encoder.forward_spec)
        sequence = self.training_model.get_layer("before").output
        outputs, after = encoder(sequence, states, self.inputs["length"])
        return NestedModel(
            {**self.inputs, "states": states},
            {"logits": self.output_layer(outputs), "states": after},
            name="step",
        )

    def _make_inputs(
        self, columns: Mapping[str, int], vectors: Sequence[int] | None, characters: int
    ) -> None:
        sequences = ["words", *columns, *(["vectors"] if vectors else [])]
        sequences += ["spelling", "characters"] if characters else []
        lengths = ["length", *(["character_length"] if characters else [])]
        self.inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in sequences}
        self.inputs |= {name: keras.Input((), dtype="int32", name=name) for name in lengths}

    def _make_embeddings(
        self,
        sizes: Mapping[str, Any],
        embedding_dim: int,
        column_dim: int,
        word_dropout: float,
        embedding_dropout: float,
    ) -> None:
        fraction("word_dropout", word_dropout)
        fraction("embedding_dropout", embedding_dropout)
        self.embedding = self.vector_embedding = None
        if embedding_dim:
            self.word_dropout = WordDropout(word_dropout, name="word_dropout")
            self.embedding = token_embedding(sizes["words"], embedding_dim, "embedding")
            self.embedding_dropout = EmbeddingDropout(
                sizes["words"], embedding_dropout, name="embedding_dropout"
            )
        if sizes["vectors"] is not None:
            self.vector_embedding = Embedding(
                *sizes["vectors"], embeddings_initializer="zeros", name="pretrained"
            )
        self.columns = {
            name: token_embedding(size, column_dim, f"column_{name}")
            for name, size in sizes["columns"].items()
        }

    def _spelling_model(
        self, character_features: Callable[[int], keras.layers.Layer] | None, characters: int
    ) -> keras.Model | None:
        if character_features is None:
            return None
        read = {name: self.inputs[name] for name in ("characters", "character_length")}
        return keras.Model(read, character_features(characters)(*read.values()), name="spelling")

    def _features(self, spelled: Any, respelled: Respelled, concatenate: Any) -> Any:
        """Returns the features of each token; `spelled` is the output of `spelling_model`."""
        features = []
        if self.embedding is not None:
            words = self.word_dropout(self.inputs["words"])
            features.append(self.embedding_dropout(self.embedding(words), words))
        if self.vector_embedding is not None:
            features.append(self.vector_embedding(self.inputs["vectors"]))
        features += [column(self.inputs[name]) for name, column in self.columns.items()]
        if spelled is not None:
            features.append(respelled(spelled, self.inputs["spelling"]))
        return concatenate(features)

    def _connect(self, labels: int) -> None:
        shared = Respelled(name="respelled"), keras.layers.Concatenate(name="features")
        crf = CRF(labels, self.allowed, name="crf") if self.output == "crf" else None

        def outputs(spelled: Any) -> tuple[dict[str, Any], Any]:
            sequence = self.before(self._features(spelled, *shared))
            sequence, states = self.encoder(sequence, self.inputs["length"])
            logits = self.output_layer(self.behind(sequence))
            return ({"logits": logits} if crf is None else crf(logits)), states

        spelling, inputs = self.spelling_model, self.inputs
        predicted, states = outputs(None if spelling is None else spelling.output)
        self.training_model = self.loss_model = keras.Model(inputs, predicted, name="training")
        if spelling is not None:  # in prediction, a word that occurs often is spelled once
            end = spelling.output
            spelled = keras.Input(end.shape[1:], dtype=end.dtype, name="spelled")
            inputs = {name: part for name, part in inputs.items() if name not in spelling.input}
            inputs["spelled"] = spelled
            predicted, states = outputs(spelled)
        features = named_states("source", states)
        self.feature_model = keras.Model(inputs, features, name="encoder_states")
        if self.output == "constrained_softmax":
            predicted = LegalPaths(labels, self.allowed, name="legal")(predicted["logits"])
        self.prediction_model = keras.Model(inputs, predicted, name="prediction")


@keras.saving.register_keras_serializable(package="seq2seq")
class LegalPaths(ConfiguredLayer):
    """Turns logits into log-probabilities, and adds transitions that only forbid.

    Args:
        labels: The number of labels.
        allowed: Which label may follow which, see `CRF`.
    """

    def __init__(
        self, labels: int, allowed: Sequence[Sequence[bool]] | None, **kwargs: Any
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.labels, self.allowed = labels, allowed

    def call(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Maps `(batch, steps, labels)` to the outputs of `CRF`."""
        free = tf.zeros((self.labels + 1, self.labels + 1))
        return {
            "logits": tf.nn.log_softmax(tf.cast(logits, tf.float32)),
            "transitions": constrained(free, self.allowed),
        }
