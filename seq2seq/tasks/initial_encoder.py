"""An encoder that starts with what another run has learned, whatever that run's task is."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from seq2seq.data.tokenizers.token_features import TokenFeatures
from seq2seq.data.tokenizers.tokenizer import Tokenizer, TokenizerPair
from seq2seq.errors import UserError
from seq2seq.tasks.base import Task
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.training.freezing import FreezeLayers
from seq2seq.trust import Trust

log = logging.getLogger(__name__)


class InputEmbedding(NamedTuple):
    """What makes vectors of source tokens.

    Attributes:
        layer: An embedding.
        scale: What its rows are multiplied with on input.
        kind: What a token is, such as `word`.
        pieces: The token of each row.
    """

    layer: keras.layers.Layer
    scale: float
    kind: str
    pieces: list[str]


class InitialEncoder:
    """Takes the encoder's weights, and those of the tokens that both know, from another run.

    The other run may be of another task: a translation's encoder for a tagger, a language model for
    a classifier that reads from left to right.

    Args:
        run: The folder of the other run; null starts with random weights.
        freeze_epochs: For how many epochs the encoder stays as it was; its embeddings with it,
            if those of all tokens were taken.

    Raises:
        ValueError: If `freeze_epochs` is negative, or there is nothing to freeze.
    """

    def __init__(self, run: str | None = None, freeze_epochs: int = 0) -> None:
        if freeze_epochs < 0 or (freeze_epochs and run is None):
            raise ValueError(
                f"freeze_epochs: must be 0, or more where run is given, got {freeze_epochs!r}"
            )
        self.run, self.freeze_epochs = run, freeze_epochs

    def give(
        self, task: Task, model: Any, trust: Trust = ()
    ) -> dict[str, keras.callbacks.Callback]:
        """Puts the weights into a model, and says what was taken.

        Args:
            task: The prepared task.
            model: Its model.
            trust: Modules and classes of one's own that the other run may name.

        Returns:
            The callback that freezes, if that is asked for.

        Raises:
            UserError: If there is no such run, or the encoders are not alike.
        """
        if self.run is None:
            return {}
        other_task, other = load_model_folder(Path(self.run).expanduser(), trust)
        layers = recurrent_layers(model)
        self._copy_layers(recurrent_layers(other), layers)
        log.info("from %s: the weights of %s", self.run, ", ".join(layers))
        frozen = list(layers.values())
        embedding, source = input_embedding(task, model), input_embedding(other_task, other)
        if embedding and source and copy_embeddings(source, embedding):
            frozen.append(embedding.layer)
        return {"freeze": FreezeLayers(frozen, self.freeze_epochs)} if self.freeze_epochs else {}

    def _copy_layers(
        self, source: Mapping[str, keras.layers.Layer], target: Mapping[str, keras.layers.Layer]
    ) -> None:
        for name, layer in target.items():
            if name not in source:
                raise UserError(
                    f"initial_encoder.run={self.run}: has {', '.join(source) or 'no encoder'}, but "
                    f"the model wants {name}; make the layers and directions of the model fewer."
                )
            theirs, ours = source[name].get_weights(), layer.get_weights()
            shapes = [[weight.shape for weight in weights] for weights in (theirs, ours)]
            if shapes[0] != shapes[1]:
                raise UserError(
                    f"initial_encoder.run={self.run}: {name} is {_words(source[name])}, but here "
                    f"it is {_words(layer)}; give the model the same cell, units and input width."
                )
            layer.set_weights(theirs)


def recurrent_layers(model: Any) -> dict[str, keras.layers.Layer]:
    """Returns the recurrent layers of a model's encoder by name, as `layer_0.forward`.

    A language model is one that reads forward.
    """
    if hasattr(model, "encoder"):
        stacks = {
            "forward": model.encoder.forward_stack,
            "backward": model.encoder.backward_stack,
        }
    else:
        stacks = {"forward": model.stack.stack if hasattr(model, "stack") else []}
    return {
        f"layer_{number}.{direction}": layer
        for direction, stack in stacks.items()
        for number, layer in enumerate(stack)
    }


def input_embedding(task: Task, model: Any) -> InputEmbedding | None:
    """Returns how a model embeds the tokens its encoder reads; None if not by one tokenizer."""
    tokenizer = getattr(task, "tokenizer", None)
    if isinstance(tokenizer, TokenizerPair):
        tokenizer = tokenizer.source
    layer = getattr(model, "source_embedding", getattr(model, "embedding", None))
    if layer is not None and isinstance(tokenizer, TokenFeatures):
        return InputEmbedding(layer, 1.0, "word", tokenizer.word_pieces)
    if layer is None or not isinstance(tokenizer, Tokenizer):
        return None
    scaled = getattr(model, "scale", None) is not None and isinstance(
        layer, keras.layers.ReversibleEmbedding
    )
    scale = math.sqrt(layer.output_dim) if scaled else 1.0
    pieces = tokenizer.pieces(range(tokenizer.size))
    return InputEmbedding(layer, scale, tokenizer.settings["kind"], pieces)


def copy_embeddings(source: InputEmbedding, target: InputEmbedding) -> bool:
    """Copies the vectors of the tokens that both have; returns whether that is all of them."""
    kinds = [each.kind for each in (source, target)]
    widths = [each.layer.output_dim for each in (source, target)]
    if kinds[0] != kinds[1] or widths[0] != widths[1]:
        log.info(
            "embeddings are not taken: %s tokens of width %d there, %s of %d here",
            kinds[0], widths[0], kinds[1], widths[1],
        )  # fmt: skip
        return False
    rows = {piece: row for row, piece in enumerate(source.pieces)}
    common = [(row, rows[piece]) for row, piece in enumerate(target.pieces) if piece in rows]
    if common:
        here, there = map(list, zip(*common, strict=True))
        vectors = np.array(target.layer.embeddings)
        vectors[here] = np.array(source.layer.embeddings)[there] * (source.scale / target.scale)
        target.layer.embeddings.assign(vectors)
    log.info("and the embeddings of %s of %s tokens", f"{len(common):,}", f"{len(target.pieces):,}")
    return len(common) == len(target.pieces)


def _words(layer: keras.layers.Layer) -> str:
    kernel = layer.get_weights()[0]
    return f"{type(layer).__name__}({layer.units}) on {kernel.shape[0]} inputs"
