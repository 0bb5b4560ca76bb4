"""Functions as OpenVINO files."""

from pathlib import Path
from tempfile import TemporaryDirectory

import openvino

from seq2seq.export.saved_model import write_saved_model
from seq2seq.models.base import SequenceModel
from seq2seq.tasks.exported import ExportedFunction


def write_openvino(
    function: ExportedFunction, model: SequenceModel, path: Path, precision: str
) -> None:
    """Writes a function as `NAME.xml` and `NAME.bin`, with weights in float32 or float16."""
    with TemporaryDirectory(prefix="seq2seq-export-") as folder:
        write_saved_model([function], model, Path(folder), "openvino")
        converted = openvino.convert_model(folder)  # type: ignore[attr-defined]
    openvino.save_model(converted, path, compress_to_fp16=precision == "float16")  # type: ignore[attr-defined]
