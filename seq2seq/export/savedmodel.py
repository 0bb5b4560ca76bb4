"""Functions as one TensorFlow SavedModel with a signature each."""

from collections.abc import Sequence
from pathlib import Path

import keras

from seq2seq.export.graphs import named_arguments, signature
from seq2seq.models.base import SequenceModel
from seq2seq.ops.dispatch import exported_graphs
from seq2seq.tasks.exported import ExportedFunction

FOLDER = "saved_model"


def write_saved_model(
    functions: Sequence[ExportedFunction], model: SequenceModel, folder: Path
) -> dict[str, str]:
    """Writes a SavedModel; returns the path of each function in the folder."""
    archive = keras.export.ExportArchive()
    archive.track(model.training_model)
    with exported_graphs("tensorflow"):
        for function in functions:
            archive.add_endpoint(
                function.name, named_arguments(function), input_signature=signature(function)
            )
        archive.write_out(folder / FOLDER, verbose=False)
    return {function.name: FOLDER for function in functions}
