"""Functions as OpenVINO files."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from seq2seq.blocked_imports import imports_blocked
from seq2seq.export.saved_model import write_saved_model
from seq2seq.models.base import SequenceModel
from seq2seq.progress import step
from seq2seq.tasks.exported import ExportedFunction

with imports_blocked("openvino_telemetry"):  # it reports each operation to its makers, unasked
    import openvino


def write(
    functions: Sequence[ExportedFunction], model: SequenceModel, folder: Path, precision: str
) -> dict[str, dict[str, str]]:
    """Writes each function as `NAME.xml` and `NAME.bin`; returns the paths of the first.

    Weights are in float32 or float16.
    """
    for function in functions:
        path = folder / f"{function.name}.xml"
        with (
            step(f"writing {path.name}"),
            TemporaryDirectory(prefix="seq2seq-export-") as temporary,
        ):
            write_saved_model([function], model, Path(temporary), "openvino")
            converted = openvino.convert_model(temporary)  # type: ignore[attr-defined]
            is_half = precision == "float16"
            openvino.save_model(converted, path, compress_to_fp16=is_half)  # type: ignore[attr-defined]
    return {function.name: {"file": f"{function.name}.xml"} for function in functions}
