"""Functions as one LiteRT file with a signature each."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf

from seq2seq.export.saved_model import write_saved_model
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.exported import ExportedFunction


def write_litert(
    functions: Sequence[ExportedFunction], model: SequenceModel, path: Path, precision: str
) -> None:
    """Writes a LiteRT file of LiteRT's own operations.

    Args:
        functions: The functions.
        model: The model whose weights they read.
        path: The file.
        precision: `float32`; `float16`, of weights alone; or `int8`, of weights, and of what they
            are multiplied with where LiteRT gains by it (dynamic range).
    """
    with TemporaryDirectory(prefix="seq2seq-export-") as folder:
        write_saved_model(functions, model, Path(folder), "litert")
        names = [function.name for function in functions]
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=names)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())
