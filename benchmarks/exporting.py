"""How large and how fast an exported run is in each runtime, beside the run itself.

    python -m benchmarks.exporting RUN

Predicts the inputs of the run's test split, one by one and in batches of 64, and compares the
results with those of the run. Each runtime has a process of its own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.programs.run_exported import Exported, runner
from seq2seq.data.formats.json_lines import read_objects

COUNT, BATCH, ROUNDS = 192, 64, 3
FORMATS = [
    ("savedmodel", "float32"), ("onnx", "float32"), ("onnx", "float16"), ("onnx", "int8"),
    ("litert", "float32"), ("litert", "float16"), ("litert", "int8"), ("openvino", "float32"),
    ("openvino", "float16"),
]  # fmt: skip
COLUMNS = ("", "MiB", "load s", "one ms", "inputs/s", "same", "score off by")


def main() -> None:
    """Exports the run in each format, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run that reads text")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        measured = exported(options.measure, inputs_of(options.run))
        print(json.dumps({"measured": {k: v.tolist() if isinstance(v, np.ndarray) else v
                                       for k, v in measured.items()}}))  # fmt: skip
        return
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    own = of_run(options.run)
    print(row("the run", own, own))
    for format, precision in FORMATS:
        with tempfile.TemporaryDirectory(prefix="seq2seq-exporting-") as folder:
            target = Path(folder) / "out"
            command = ["export", options.run, target, "--format", format, "--precision", precision]
            _python("seq2seq", *command, "--quiet")
            printed = _python("benchmarks.exporting", options.run, "--measure", target)
            measured = json.loads(printed.splitlines()[-1])["measured"]
        print(row(f"{format} {precision}", measured, own), flush=True)


def _python(module: str, *arguments: Any) -> str:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment
    ).stdout


def inputs_of(run: Path) -> list[Any]:
    """Returns the inputs of the first rows of the run's test split."""
    rows = [row for _, row in zip(range(COUNT), read_objects(run / "predictions" / "test.jsonl"))]  # noqa: B905
    return [row.get("tokens", row["source"]) for _, row in rows]


def of_run(run: Path) -> dict[str, Any]:
    """Measures the run itself."""
    inputs, start = inputs_of(run), time.perf_counter()
    from seq2seq.inference.predictor import Predictor

    predictor = Predictor.load(run)
    loaded = time.perf_counter() - start
    rows = predictor(inputs, batch_size=BATCH)
    size = sum(path.stat().st_size for path in (run / "model").rglob("*") if path.is_file())
    return {
        "size": size,
        "load": loaded,
        **_times(lambda some: predictor(some, batch_size=BATCH), inputs),
        "scores": [row["score"] for row in rows],
        "predictions": [row["prediction"] for row in rows],
    }


def exported(folder: Path, inputs: Sequence[Any]) -> dict[str, Any]:
    """Measures an exported folder; predictions are texts, or sequences of labels."""
    files, start = Exported(folder), time.perf_counter()
    predict = runner(folder)
    predict(files.feeds(inputs[:1]))
    loaded = time.perf_counter() - start
    results = predict(files.feeds(inputs))
    name = files.manifest["functions"]["predict"]["file"]
    parts = [folder / name, *(folder / name).rglob("*"), (folder / name).with_suffix(".bin")]
    return {
        "size": sum(path.stat().st_size for path in parts if path.is_file()),
        "load": loaded,
        **_times(lambda some: predict(files.feeds(some)), inputs),
        **_predictions(files, results, inputs),
    }


def _predictions(
    files: Exported, results: dict[str, np.ndarray], inputs: Sequence[Any]
) -> dict[str, Any]:
    labels = files.manifest.get("labels")
    match files.manifest["task"]:
        case "classification":
            best = results["probabilities"].argmax(axis=1)
            scores = np.log(results["probabilities"].max(axis=1))
            return {"scores": scores, "predictions": [labels[number] for number in best]}
        case "tagging":
            rows = zip(results["labels"][:, 0], inputs, strict=True)
            texts = [" ".join(labels[n] for n in row[: len(words)]) for row, words in rows]
            return {"scores": results["scores"][:, 0], "predictions": texts}
    decode = files.tokenizer("target").decode
    rows = zip(results["tokens"], results["lengths"], strict=True)
    texts = [decode(tokens[:length].tolist()) for tokens, length in rows]
    return {"scores": results["scores"], "predictions": texts}


def _times(predict: Callable[[Sequence[Any]], Any], inputs: Sequence[Any]) -> dict[str, float]:
    """Returns the median seconds of one input, and inputs a second in batches."""
    ones, batches = [], []
    for number in range(ROUNDS + 1):
        for text in inputs[:50]:
            start = time.perf_counter()
            predict([text])
            ones.append(time.perf_counter() - start)
        start = time.perf_counter()
        for first in range(0, len(inputs), BATCH):
            predict(inputs[first : first + BATCH])
        batches.append(time.perf_counter() - start)
        if number == 0:  # warm-up: some shapes are compiled
            ones, batches = [], []
    return {"one": statistics.median(ones), "rate": len(inputs) / statistics.median(batches)}


def row(name: str, measured: dict[str, Any], own: dict[str, Any]) -> str:
    """Returns a row of the table."""
    pairs = zip(measured["predictions"], own["predictions"], strict=True)
    same = sum(a == b for a, b in pairs) / len(own["predictions"])
    off = np.abs(np.array(measured["scores"]) - own["scores"]).max()
    cells = [
        name, f"{measured['size'] / 2**20:.1f}", f"{measured['load']:.1f}",
        f"{1000 * measured['one']:.1f}", f"{measured['rate']:,.0f}", f"{100 * same:.1f} %",
        f"{off:.0e}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
