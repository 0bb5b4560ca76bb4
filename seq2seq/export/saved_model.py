"""Functions as one TensorFlow SavedModel with a signature each."""

from collections.abc import Sequence
from pathlib import Path

import keras

from seq2seq.export.graphs import named_arguments, signature
from seq2seq.models.base import SequenceModel
from seq2seq.ops.dispatch import Runtime, exported_graphs
from seq2seq.progress import step
from seq2seq.tasks.exported import ExportedFunction

PATH = "saved_model"


def write(
    functions: Sequence[ExportedFunction], model: SequenceModel, folder: Path, precision: str
) -> dict[str, dict[str, str]]:
    """Writes a SavedModel in float32; returns its path and the signature of each function."""
    with step(f"writing {PATH}"):
        write_saved_model(functions, model, folder / PATH)
    return {function.name: {"file": PATH, "signature": function.name} for function in functions}


def write_saved_model(
    functions: Sequence[ExportedFunction],
    model: SequenceModel,
    path: Path,
    runtime: Runtime = "tensorflow",
) -> None:
    """Writes a SavedModel; other runtimes than TensorFlow get one to convert."""
    archive = keras.export.ExportArchive()
    archive.track(model.training_model)
    with exported_graphs(runtime):
        for function in functions:
            archive.add_endpoint(
                function.name, named_arguments(function), input_signature=signature(function)
            )
        archive.write_out(path, verbose=False)
