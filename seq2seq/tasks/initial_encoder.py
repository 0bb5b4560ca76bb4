"""An encoder that starts from the weights of another run, of any task."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seq2seq.errors import UserError
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.base import Task
from seq2seq.tasks.model_folder import load_model_folder
from seq2seq.training.freezing import FreezeLayers
from seq2seq.trust import Trust

log = logging.getLogger(__name__)


class InitialEncoder:
    """Copies the encoder's weights, and the embeddings of common tokens, from another run.

    The other run may be of another task: a translation's encoder for a tagger, a language model for
    a classifier that reads from left to right.

    Args:
        run: The folder of the other run; null starts with random weights.
        freeze_epochs: For how many epochs the encoder is frozen; its embeddings with it, if those
            of all tokens were copied.

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
        self, task: Task[Any, Any], model: SequenceModel, trust: Trust = ()
    ) -> dict[str, keras.callbacks.Callback]:
        """Sets the weights of a prepared task's model, and logs what was copied.

        Returns:
            The callback that freezes, with `freeze_epochs`.

        Raises:
            UserError: If there is no such run, or the encoders differ in shape.
        """
        if self.run is None:
            return {}
        other_task, other = load_model_folder(Path(self.run).expanduser(), trust)
        layers = model.input_layers()
        self._copy_layers(other.input_layers(), layers)
        log.info("from %s: the weights of %s", self.run, ", ".join(layers))
        frozen = list(layers.values())
        if embedding := copy_embeddings((other_task, other), (task, model)):
            frozen.append(embedding)
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
                    f"initial_encoder.run={self.run}: {name} is {_shape(source[name])}, but here "
                    f"it is {_shape(layer)}; give the model the same cell, units and input width."
                )
            layer.set_weights(theirs)


def copy_embeddings(
    source: tuple[Task[Any, Any], SequenceModel], target: tuple[Task[Any, Any], SequenceModel]
) -> keras.layers.Layer | None:
    """Copies the embeddings of the tokens that both know; returns the layer, if it is all."""
    theirs, ours = (task.input_vocabulary() for task, _ in (source, target))
    there, here = (model.input_embedding() for _, model in (source, target))
    if theirs is None or ours is None or there is None or here is None:
        return None
    widths = [embedding.layer.output_dim for embedding in (there, here)]
    if theirs.kind != ours.kind or widths[0] != widths[1]:
        log.info(
            "embeddings are not copied: %s tokens of width %d there, %s of %d here",
            theirs.kind, widths[0], ours.kind, widths[1],
        )  # fmt: skip
        return None
    rows = {token: row for row, token in enumerate(theirs.tokens)}
    common = [(row, rows[token]) for row, token in enumerate(ours.tokens) if token in rows]
    if common:
        our_rows, their_rows = map(list, zip(*common, strict=True))
        vectors = np.array(here.layer.embeddings)
        scale = there.scale / here.scale
        vectors[our_rows] = np.array(there.layer.embeddings)[their_rows] * scale
        here.layer.embeddings.assign(vectors)
    log.info("and the embeddings of %s of %s tokens", f"{len(common):,}", f"{len(ours.tokens):,}")
    return here.layer if len(common) == len(ours.tokens) else None


def _shape(layer: keras.layers.Layer) -> str:
    return f"{type(layer).__name__}({layer.units}) on {layer.cell.kernel.shape[0]} inputs"
