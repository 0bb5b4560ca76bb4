"""Forecasting: training windows a second beside PyTorch and NeuralForecast; many series at once."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import neuralforecast_python, own_python, torch_python, tuned
from benchmarks.files import MOST_LOAD, about_machine, load_before, write
from benchmarks.harness import ROOT
from benchmarks.tagging import with_range
from seq2seq.config import composed
from seq2seq.experiment import Experiment, build_experiment
from seq2seq.tasks.forecasting import Forecasting

HORIZON, CONTEXT, BATCH_SIZE, UNITS = 18, 36, 256, 64
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
WARM_UP = 30
SERIES, CALLS = 10_000, 100
PROGRAMS = ("seq2seq", "torch", "torch_tuned", "neuralforecast", "neuralforecast_tuned")
SPEEDS = ("windows_per_second", "windows_per_processor_second")
GOALS = {"over_torch": 2.0, "over_neuralforecast": 2.0, "together_over_alone": 10.0}
OVERRIDES = (
    "task=forecasting",
    "data=m3_monthly",
    "tokenizer=none",
    "batching=series",
    "model=direct_forecaster",
    "decoding=none",
    "tracking=none",
    f"task.horizon={HORIZON}",
    f"task.context_length={CONTEXT}",
    f"task.minimum_context={CONTEXT}",  # all windows are full
    "task.season_length=12",
    "task/distribution=quantiles",
    "task.scaling.kind=standard",
    "task.scaling.log=true",
    f"batching.batch_size={BATCH_SIZE}",
    f"model.encoder.units={UNITS}",
    "trainer.epochs=1",
)

Result = dict[str, float]


def main(arguments: argparse.Namespace) -> None:
    """Measures all programs in turn, round by round; what is known is written after each."""
    load = load_before()
    training: dict[str, list[Result]] = {program: [] for program in arguments.programs}
    calls: list[Result] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_data(folder)
        train_run(folder / "run")
        for number in range(1, arguments.rounds + 1):
            for program in arguments.programs:
                result = trained(program, folder, arguments.steps, arguments.threads)
                training[program].append(result)
                speed = result["windows_per_second"]
                _told(f"round {number}: {program} {speed:,.0f} windows/s")
            calls.append(forecast_calls(folder, arguments.series))
            _told(f"round {number}: {calls[-1]}")
            measured = {
                "series": arguments.series,
                "training": training,
                "calls": calls,
                "ratios": ratios(training, calls),
            }
            about = about_machine(
                load_before=load,
                is_busy=load >= MOST_LOAD,
                rounds=number,
                steps=arguments.steps,
                threads=arguments.threads,
            )
            write(arguments.results / "forecasting", {**about, **measured})
    print(table(measured))


def experiment(steps: int, folder: Path) -> Experiment:
    """Returns the parts of our training, with the data read."""
    return build_experiment(composed(overrides(steps)), folder)


def overrides(steps: int) -> list[str]:
    """Returns the settings of our training, which has some steps."""
    return [*OVERRIDES, f"batching.steps_per_epoch={steps}"]


def save_data(folder: Path) -> None:
    """Writes all training windows, scaled as ours, and the histories of the series.

    `windows.npz` has `past`, float32 `(windows, context, 1)`, and `future`, `(windows, horizon)`;
    `histories.npz` the `values` of all series before the test part, and their `offsets`.
    """
    task = experiment(1, folder).task
    assert isinstance(task, Forecasting)
    column = task.stores["validation"].columns["target.y"]
    np.savez(folder / "histories.npz", values=column.tokens, offsets=column.offsets)
    store = task.stores["train"]
    origins = task.origins(store.columns)
    series = np.repeat(np.arange(len(store)), np.diff(origins.offsets))
    windows = task.windows(store.columns, series, origins.tokens, HORIZON)
    past, future = windows.inputs["past"], windows.labels[..., 0]
    np.savez(folder / "windows.npz", past=past, future=future)


def train_run(folder: Path) -> None:
    """Trains a run for a few steps."""
    settings = [*overrides(20), f"hydra.run.dir={folder}"]
    _run([str(own_python()), "-m", "seq2seq", "train", *settings], {})


def trained(program: str, folder: Path, steps: int, threads: int | None = None) -> Result:
    """Runs a training program in its own process, with so many threads or with all."""
    job = {
        "warm_up": WARM_UP,
        "steps": steps,
        "batch_size": BATCH_SIZE,
        "units": UNITS,
        "levels": LEVELS,
        "horizon": HORIZON,
        "context": CONTEXT,
        "windows": str(folder / "windows.npz"),
        "histories": str(folder / "histories.npz"),
        "overrides": overrides(WARM_UP + steps),
    }
    is_own = program == "seq2seq"
    variables = tuned() if program.endswith("_tuned") else {}
    if threads:
        names = ["SEQ2SEQ_THREADS"] if is_own else ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]
        variables = {**variables, **dict.fromkeys(names, str(threads))}
    pythons = {"ours": own_python, "torch": torch_python, "neuralforecast": neuralforecast_python}
    name = "ours" if is_own else program.removesuffix("_tuned")
    return _program(pythons[name](), f"forecast_{name}", job, variables)


def forecast_calls(folder: Path, series: int) -> Result:
    """Forecasts many series in one call and in calls of one, in a process of its own."""
    job = {
        "run": str(folder / "run"),
        "histories": str(folder / "histories.npz"),
        "series": series,
        "calls": min(CALLS, series),
        "warm_up": 5,
    }
    return _program(own_python(), "forecast_calls", job, {})


def ratios(training: Mapping[str, Sequence[Result]], calls: Sequence[Result]) -> dict[str, float]:
    """Returns how many times as fast ours is, of medians."""
    measured = {}
    for speed, ending in zip(SPEEDS, ("", "_by_processor"), strict=True):
        medians = {
            program: statistics.median(result[speed] for result in results)
            for program, results in training.items()
            if results
        }
        for peer in ("torch", "neuralforecast"):
            peers = [median for name, median in medians.items() if name.startswith(peer)]
            if "seq2seq" in medians and peers:
                measured[f"over_{peer}{ending}"] = medians["seq2seq"] / max(peers)
    if calls:
        alone, together = (
            statistics.median(result[name] for result in calls)
            for name in ("seconds_one_by_one", "seconds_together")
        )
        measured["together_over_alone"] = alone / together
    return measured


def table(measured: Mapping[str, Any]) -> str:
    """Returns the figures in Markdown."""
    lines = [
        "| program | windows/s | of the rounds | a processor second | of the rounds |",
        "|---|---|---|---|---|",
    ]
    for name, results in measured["training"].items():
        cells = [
            with_range([result[speed] for result in results], ",.0f", " | ") for speed in SPEEDS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"| {measured['series']:,} series | s | of the rounds |", "|---|---|---|"]
    for name in ("seconds_together", "seconds_one_by_one"):
        times = [result[name] for result in measured["calls"]]
        title = name.removeprefix("seconds_").replace("_", " ")
        lines.append(f"| {title} | {with_range(times, ',.1f', ' | ')} |")
    lines.append("")
    for name, value in measured["ratios"].items():
        goal = f" (goal {GOALS[name]:g})" if name in GOALS else ""
        lines.append(f"{name}: {value:.2f}{goal}")
    return "\n".join(lines)


def _program(
    python: Path, module: str, job: Mapping[str, Any], variables: Mapping[str, str]
) -> Result:
    command = [str(python), "-m", f"benchmarks.programs.{module}", json.dumps(job)]
    return json.loads(_run(command, variables).splitlines()[-1])


def _run(command: Sequence[str], variables: Mapping[str, str]) -> str:
    """Runs a command; returns what it prints.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} failed:\n{done.stderr}")
    return done.stdout


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
