"""Memory, file descriptors and threads of a long training, and of many predictions."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

from benchmarks.faults.trainings import write_data
from benchmarks.files import about_machine, write
from benchmarks.plots import endurance_plot

TASK = "translation"
STEPS_PER_EPOCH = 2000
SECONDS = 0.5
"""Between two measurements."""

SETTLED = 0.3, 0.95
"""The shares of the time between which slopes are measured: before, caches fill up; after, a
training scores and saves its model."""

PREDICT = """
import sys
from pathlib import Path
import seq2seq
predictor = seq2seq.load(Path(sys.argv[1]))
texts = Path(sys.argv[2]).read_text(encoding="utf-8").splitlines()
for number in range(int(sys.argv[3])):
    predictor(texts[number % len(texts)])
"""

Measures = dict[str, list[float]]


def main(arguments: argparse.Namespace) -> None:
    """Trains, and predicts text by text, while the process is measured from outside."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        measures = {
            "training": measured(training(Path(folder), run, arguments.steps)),
            "predictions": measured(predictions(Path(folder), run, arguments.predictions)),
        }
    counts = {"training": arguments.steps, "predictions": arguments.predictions}
    slopes = {name: slopes_of(measures[name], counts[name]) for name in measures}
    content = about_machine(counts=counts, slopes=slopes, measures=measures)
    write(arguments.results / "endurance", content, endurance_plot(measures, counts))
    print(table(slopes, measures))


def training(folder: Path, run: Path, steps: int) -> list[str]:
    """Returns the command of a small training with MLflow and a validation each epoch."""
    overrides = write_data(TASK, folder / "data")
    source, target = (folder / "data" / f"train.{side}" for side in ("source", "target"))
    for path in (source, target):  # more rows, so that an epoch has more steps
        text = path.read_text(encoding="utf-8")
        rows = text.count("\n")
        path.write_text(text * (STEPS_PER_EPOCH * 16 // rows), encoding="utf-8")
    return [
        sys.executable, "-m", "seq2seq", "train", *overrides, f"hydra.run.dir={run}",
        f"tracking.tracking_uri=sqlite:///{folder}/mlflow.db",
        f"trainer.epochs={-(-steps // STEPS_PER_EPOCH)}", "trainer.log_every=20",
    ]  # fmt: skip


def predictions(folder: Path, run: Path, count: int) -> list[str]:
    """Returns the command of predictions text by text."""
    texts = folder / "data" / "test.source"
    return [sys.executable, "-c", PREDICT, str(run), str(texts), str(count)]


def measured(command: Sequence[str]) -> Measures:
    """Runs a command; returns times and measures.

    Raises:
        RuntimeError: If it fails.
    """
    measures: Measures = {"seconds": [], "memory_mib": [], "files": [], "threads": []}
    start = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                with watched.oneshot():
                    values = (watched.memory_info().rss / 2**20, watched.num_fds(),
                              watched.num_threads())  # fmt: skip
            except psutil.Error:  # it has ended
                break
            if not values[0]:
                break
            now = (time.monotonic() - start, *values)
            for name, value in zip(measures, now, strict=True):
                measures[name].append(float(value))
            time.sleep(SECONDS)
        if process.wait():
            errors.seek(0)
            raise RuntimeError(errors.read().decode(errors="replace")[-2000:])
    return measures


def slopes_of(measures: Mapping[str, Sequence[float]], count: int) -> dict[str, float]:
    """Returns the growth of each measure in 1,000 steps or predictions, and its standard error."""
    seconds = np.array(measures["seconds"])
    first, last = SETTLED
    settled = (first * seconds[-1] < seconds) & (seconds < last * seconds[-1])
    numbers = seconds[settled] / seconds[-1] * count / 1000
    slopes = {}
    for name in list(measures)[1:]:
        values = np.array(measures[name])[settled]
        coefficients, residuals, *_ = np.polyfit(numbers, values, 1, full=True)
        spread = np.sum((numbers - numbers.mean()) ** 2)
        variance = float(residuals[0]) / (len(values) - 2) if len(residuals) else 0.0
        slopes[name] = float(coefficients[0])
        slopes[f"{name}_error"] = float(np.sqrt(variance / spread))
    return slopes


def table(slopes: Mapping[str, Mapping[str, float]], measures: Mapping[str, Measures]) -> str:
    """Returns the growth in 1,000 steps in Markdown."""
    lines = ["| | measure | median | growth in 1,000 |", "|---|---|---:|---:|"]
    for name, values in slopes.items():
        for measure in list(measures[name])[1:]:
            growth = f"{values[measure]:+.4f} ± {2 * values[f'{measure}_error']:.4f}"
            middle = np.median(measures[name][measure])
            lines.append(f"| {name} | {measure} | {middle:,.0f} | {growth} |")
    return "\n".join(lines)
