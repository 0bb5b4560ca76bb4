"""The Keras models of a run as `.keras` files."""

from pathlib import Path
from typing import Any

import keras

from seq2seq.models.base import SequenceModel
from seq2seq.models.exportable_model import named_tensors

NAMES = (
    "training_model", "encoder_model", "decoder_model", "spelling_model", "prediction_model",
    "step_model", "feature_model",
)  # fmt: skip


def write_keras(model: SequenceModel, folder: Path) -> dict[str, Any]:
    """Writes the models; returns their entries of the manifest by name."""
    entries = {}
    for name in NAMES:
        try:
            part = getattr(model, name, None)
        except ValueError:  # a step of a model that reads whole inputs only
            continue
        if not isinstance(part, keras.Model):
            continue
        path = f"{name.removesuffix('_model')}.keras"
        part.save(folder / path)
        entries[name.removesuffix("_model")] = {
            "file": path,
            "module": type(model).__module__,
            "inputs": _described(part.input),
            "outputs": _described(part.output),
        }
    return entries


def _described(tensors: Any) -> dict[str, Any]:
    named = named_tensors(tensors if isinstance(tensors, dict) else {"outputs": tensors})
    return {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape)} for name, tensor in named.items()
    }
