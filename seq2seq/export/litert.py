"""Functions as one LiteRT file with a signature each."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf

from seq2seq.export.saved_model import write_saved_model
from seq2seq.models.base import SequenceModel
from seq2seq.progress import step
from seq2seq.tasks.exported import ExportedFunction

PATH = "model.tflite"


def write(
    functions: Sequence[ExportedFunction], model: SequenceModel, folder: Path, precision: str
) -> dict[str, dict[str, str]]:
    """Writes a file of LiteRT's own operations; returns its path and each function's signature.

    Args:
        functions: The functions.
        model: The model whose weights they read.
        folder: The folder of the file.
        precision: `float32`; `float16`, of weights alone; or `int8`, of weights, and of what they
            are multiplied with where LiteRT gains by it (dynamic range).
    """
    names = [function.name for function in functions]
    with step(f"writing {PATH}"), TemporaryDirectory(prefix="seq2seq-export-") as temporary:
        write_saved_model(functions, model, Path(temporary), "litert")
        converter = tf.lite.TFLiteConverter.from_saved_model(temporary, signature_keys=names)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        (folder / PATH).write_bytes(converter.convert())
    return {name: {"file": PATH, "signature": name} for name in names}
