"""A run as a folder of files for another runtime: functions, manifest and vocabularies."""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seq2seq.errors import UserError
from seq2seq.export.keras_files import write_keras
from seq2seq.files import atomic_folder, write_text
from seq2seq.inference.predictor import Predictor
from seq2seq.models.base import SequenceModel
from seq2seq.request import PredictionRequest
from seq2seq.tasks.base import Task
from seq2seq.tasks.exported import TensorInfo
from seq2seq.tasks.model_folder import load_model_folder, saved_search
from seq2seq.tasks.prediction_options import PredictionOptions
from seq2seq.trust import Trust
from seq2seq.version import version

PRECISIONS = {
    "savedmodel": ("float32",),
    "onnx": ("float32", "float16", "int8"),
    "litert": ("float32", "float16", "int8"),
    "openvino": ("float32", "float16"),
    "keras": ("float32",),
}
"""The precisions of each format."""
PACKAGES = {"onnx": ("tf2onnx", "onnx", "onnxruntime"), "openvino": ("openvino",)}
"""What the converters of a format need beside TensorFlow."""
MODULES = {
    "savedmodel": "saved_model",
    "onnx": "onnx_files",
    "litert": "litert",
    "openvino": "openvino_files",
}
"""The modules that write functions, each with a function `write`."""
MANIFEST = "manifest.json"


def export_run(
    run_folder: Path,
    target: Path,
    format: str,
    precision: str = "float32",
    request: PredictionRequest | None = None,
    trust: Trust = (),
) -> dict[str, Any]:
    """Writes a run as files of a format, and returns the manifest.

    Args:
        run_folder: A run folder, or its `model` folder.
        target: The folder to write, which must not exist.
        format: A key of `PRECISIONS`.
        precision: The precision of the weights.
        request: The search and extra outputs of `predict`; None for those of the run.
        trust: Further modules and classes that the run's config may name.

    Raises:
        UserError: If the format cannot hold the run, a package is missing, or the target exists or
            cannot be written.
    """
    _check(target, format, precision)
    task, model = load_model_folder(run_folder, trust, precision="float32")
    predictor = Predictor(task, model, saved_search(run_folder, trust), trust)
    try:
        with atomic_folder(target) as folder:
            if format == "keras":
                functions = write_keras(model, folder)
            else:
                options = predictor.options(request or PredictionRequest())
                functions = _converted(task, model, folder, format, precision, options)
            manifest = {
                "format": format,
                "precision": precision,
                "task": type(task).__name__.lower(),
                "seq2seq": version(),
                "functions": functions,
                **task.export_vocabularies(folder),
            }
            write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False))
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error}). Make room, or give access."
        ) from error
    return manifest


def _check(target: Path, format: str, precision: str) -> None:
    if format not in PRECISIONS:
        raise UserError(f"--format: must be one of {', '.join(PRECISIONS)}, got {format!r}.")
    if precision not in PRECISIONS[format]:
        others = [name for name, known in PRECISIONS.items() if precision in known]
        raise UserError(
            f"--precision {precision}: {format} files have {', '.join(PRECISIONS[format])} here"
            + (f"; {precision} is for {', '.join(others)}." if others else ".")
        )
    if missing := [name for name in PACKAGES.get(format, ()) if find_spec(name) is None]:
        raise UserError(
            f"--format {format}: needs {', '.join(missing)}; pip install 'keras-seq2seq[export]'."
        )
    if target.exists():
        raise UserError(f"{target}: exists already; remove it, or name another folder.")


def _converted(
    task: Task[Any, Any],
    model: SequenceModel,
    folder: Path,
    format: str,
    precision: str,
    options: PredictionOptions,
) -> dict[str, Any]:
    """Writes the functions of a task, and returns their entries of the manifest by name."""
    functions = [
        function
        for function in task.exported_functions(model, options)
        if format == "savedmodel" or not function.has_texts
    ]
    try:
        writer = import_module(f"seq2seq.export.{MODULES[format]}")
        places: dict[str, dict[str, str]] = writer.write(functions, model, folder, precision)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # converters raise all kinds
        others = ", ".join(name for name in PRECISIONS if name != format)
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--format {format}: cannot hold this run ({text:.300}). Other formats: {others}."
        ) from error
    return {
        function.name: {
            **places[function.name],
            "summary": function.summary,
            "inputs": _described(function.inputs),
            "outputs": _described(function.outputs),
        }
        for function in functions
    }


def _described(infos: Mapping[str, TensorInfo]) -> dict[str, Any]:
    return {
        name: {"dtype": info.dtype, "shape": list(info.shape), "meaning": info.meaning}
        for name, info in infos.items()
    }
