"""How large and how fast an exported run is in each runtime, beside the run itself.

    python -m benchmarks.exporting RUN

Predicts 200 inputs of the run's test split, one by one and in batches of 64, and compares the
results with those of the run. Language models have to be trained with `decoding=greedy`, and
forecasters on monthly series, such as CO2. Each runtime has a process of its own.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.programs.run_exported import Exported, runner

if TYPE_CHECKING:
    from seq2seq.data.dataset import Dataset
    from seq2seq.inference.predictor import Predictor

COUNT, BATCH, ROUNDS = 200, 64, 3
FORMATS = [
    ("savedmodel", "float32"), ("onnx", "float32"), ("onnx", "float16"), ("onnx", "int8"),
    ("litert", "float32"), ("litert", "float16"), ("litert", "int8"), ("openvino", "float32"),
    ("openvino", "float16"),
]  # fmt: skip
COLUMNS = ("MiB", "load s", "one ms", "inputs/s", "same", "score off by")
TOLERANCE = 1e-4
"""The relative difference at which two forecasts are the same."""


def main() -> None:
    """Exports the run in each format, measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is None:
        print_table(options.run)
        return
    inputs = json.loads((options.run / "inputs.json").read_text("utf-8"))
    (options.run / "measured.json").write_text(
        json.dumps(exported(options.measure, inputs)), "utf-8"
    )


def print_table(run: Path) -> None:
    """Exports a run in each format, measures, and prints a table."""
    predictor, seconds = loaded(run)
    from seq2seq.config import build
    from seq2seq.trust import load_saved

    task = task_of(predictor)
    inputs = inputs_of(task, build(load_saved(run / ".hydra" / "config.yaml"), "data"))
    own = of_run(run, predictor, inputs) | {"load": seconds}
    print(f"| {' | '.join([task, *COLUMNS])} |\n|{'---|' * (1 + len(COLUMNS))}")
    print(row("the run", own, own), flush=True)
    with tempfile.TemporaryDirectory(prefix="seq2seq-exporting-") as name:
        folder = Path(name)
        (folder / "inputs.json").write_text(json.dumps(inputs, default=_plain), "utf-8")
        for format, precision in FORMATS:
            target = folder / f"{format}-{precision}"
            command = ["export", run, target, "--format", format, "--precision", precision]
            _python("seq2seq", *command, "--quiet")
            _python("benchmarks.exporting", folder, "--measure", target)
            measured = json.loads((folder / "measured.json").read_text("utf-8"))
            print(row(f"{format} {precision}", measured, own), flush=True)


def _plain(value: Any) -> Any:
    """Returns arrays as lists, and dates as texts."""
    return value.tolist() if isinstance(value, np.ndarray) else str(value)


def _python(module: str, *arguments: Any) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def inputs_of(task: str, data: "Dataset") -> list[Any]:
    """Returns inputs of the test split as `Predictor` reads them.

    Of the one series of a forecaster, they are beginnings of 24 to 223 steps; of every third,
    values are missing.
    """
    records = list(itertools.islice(data.records("test"), COUNT))
    match task:
        case "translation":
            return [record["source"] for record in records]
        case "tagging":
            return [record["tokens"] for record in records]
        case "classification":
            return [record["text"] for record in records]
        case "generation":
            lines = (line for record in records for line in record["text"].split("\n"))
            return list(itertools.islice(lines, COUNT))
    [series] = records
    return [_history(series, number) for number in range(COUNT)]


def _history(series: Mapping[str, Any], number: int) -> dict[str, Any]:
    steps = 24 + number
    values = np.array(series["y"][:steps])
    if number % 3 == 0:
        values[[3, steps - 2]] = np.nan
    return {
        "unique_id": f"history {number}", "ds": list(series["ds"][:steps]), "y": values,
        "frequency": "MS",
    }  # fmt: skip


def loaded(run: Path) -> tuple["Predictor", float]:
    """Loads a run; returns it and the seconds, with the import of TensorFlow if it is the first."""
    start = time.perf_counter()
    from seq2seq.inference.predictor import Predictor

    return Predictor.load(run), time.perf_counter() - start


def task_of(predictor: "Predictor") -> str:
    """Returns the name of the task of a run."""
    return type(predictor.task).__name__.lower()


def of_run(run: Path, predictor: "Predictor", inputs: Sequence[Any]) -> dict[str, Any]:
    """Measures a run; forecasts have no scores."""
    from seq2seq.request import PredictionRequest

    request = PredictionRequest(batch_size=BATCH)
    rows = predictor.predict(inputs, request)
    size = sum(path.stat().st_size for path in (run / "model").rglob("*") if path.is_file())
    scores = {"scores": [row["score"] for row in rows]} if "score" in rows[0] else {}
    return {
        "size": size,
        **_times(lambda some: predictor.predict(some, request), inputs),
        "predictions": [_text(row["prediction"]) for row in rows],
        **scores,
    }


def _text(prediction: Any) -> Any:
    """Returns a text without spaces around it, which tokenizers alone do not remove."""
    return prediction.strip() if isinstance(prediction, str) else prediction


def exported(folder: Path, inputs: Sequence[Any]) -> dict[str, Any]:
    """Measures an exported folder; predictions are texts, or sequences of labels."""
    files, start = Exported(folder), time.perf_counter()
    predict = runner(folder)
    predict(files.feeds(inputs[:1]))
    seconds = time.perf_counter() - start
    results = predict(files.feeds(inputs))
    name = files.manifest["functions"]["predict"]["file"]
    parts = [folder / name, *(folder / name).rglob("*"), (folder / name).with_suffix(".bin")]
    return {
        "size": sum(path.stat().st_size for path in parts if path.is_file()),
        "load": seconds,
        **_times(lambda some: predict(files.feeds(some)), inputs),
        **_predictions(files, results, inputs),
    }


def _predictions(
    files: Exported, results: dict[str, np.ndarray], inputs: Sequence[Any]
) -> dict[str, Any]:
    task, labels = files.manifest["task"], files.manifest.get("labels")
    match task:
        case "forecasting":
            return {"predictions": results["forecast"][..., 0].tolist()}
        case "classification":
            best = results["probabilities"].argmax(axis=1)
            scores = np.log(results["probabilities"].max(axis=1))
            return {"scores": scores.tolist(), "predictions": [labels[number] for number in best]}
        case "tagging":
            rows = zip(results["labels"][:, 0], inputs, strict=True)
            texts = [" ".join(labels[n] for n in row[: len(words)]) for row, words in rows]
            return {"scores": results["scores"][:, 0].tolist(), "predictions": texts}
    decode = files.tokenizer("text" if task == "generation" else "target").decode
    rows = zip(results["tokens"], results["lengths"], strict=True)
    texts = [_text(decode(tokens[:length].tolist())) for tokens, length in rows]
    return {"scores": results["scores"].tolist(), "predictions": texts}


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
    """Returns a row of the table; where there are no scores, the forecasts differ relatively."""
    if "scores" in own:
        pairs = zip(measured["predictions"], own["predictions"], strict=True)
        same = np.array([a == b for a, b in pairs])
        off = np.abs(np.array(measured["scores"]) - own["scores"])
    else:
        off = np.abs(np.array(measured["predictions"]) / np.array(own["predictions"]) - 1)
        same = off.max(axis=1) <= TOLERANCE
    cells = [
        name, f"{measured['size'] / 2**20:.1f}", f"{measured['load']:.1f}",
        f"{1000 * measured['one']:.1f}", f"{measured['rate']:,.0f}", f"{100 * same.mean():.1f} %",
        f"{off.max():.0e}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
