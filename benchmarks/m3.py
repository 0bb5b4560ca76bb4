"""M3: the recipes' accuracy on 3,003 series, beside Theta, ETS and a seasonal naive forecast."""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import cache_directory, own_python
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import ROOT
from seq2seq.data.embedded.m3 import HORIZONS, M3
from seq2seq.evaluation.baseline_forecasts import baseline_forecasts
from seq2seq.evaluation.forecasting import forecast_scores
from seq2seq.tracking.environment import own_git_state

GROUPS = ("yearly", "quarterly", "monthly", "other")
SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "other": 1}
LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
"""Levels of the quantiles of all methods, those of the recipes' intervals and of the median."""
METHODS = ("theta", "ets", "seasonal_naive")
TIMES = "benchmark.json"
"""The file in a run folder that says that its training has ended, and how long it took."""
OF_INTERVALS = ("coverage_80", "coverage_95", "crps")
DETAILED = "monthly"
"""The group whose intervals are shown."""

Rows = list[dict[str, Any]]
Scores = dict[str, float]


def main(arguments: argparse.Namespace) -> None:
    """Trains what is not trained yet, forecasts with the other methods, and scores all of them."""
    load = load_before()
    groups: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Rows]] = {}
    for group in arguments.groups:
        rows[group], times = {}, {}
        for seed in arguments.seeds:
            run = trained(group, seed)
            rows[group][f"seed {seed}"] = read_rows(run / "predictions" / "test.jsonl")
            times[f"seed {seed}"] = json.loads((run / TIMES).read_text(encoding="utf-8"))
        own = list(rows[group].values())
        rows[group]["ensemble"] = ensemble(own)
        for method in arguments.methods:
            rows[group][method], times[method] = forecast_with(method, group, own[0])
        scores = {name: forecast_scores(forecasts) for name, forecasts in rows[group].items()}
        groups[group] = {
            "series": len(own[0]),
            "scores": {"mean of seeds": mean_of_seeds(scores), **scores},
            "times": times,
        }
        measured = {"seeds": arguments.seeds, "groups": groups, "all": of_all(rows)}
        write(arguments.results / "m3", {**about_machine(load_before=load), **measured})
    print(table(measured))


def trained(group: str, seed: int) -> Path:
    """Returns the run folder of a recipe, which is trained if it was not yet.

    Raises:
        RuntimeError: If the training fails.
    """
    recipe = ROOT / "recipes" / "forecasting" / f"m3_{group}.yaml"
    folder = cache_directory() / "m3" / f"{group}_{_hashed(recipe.read_bytes())}_seed_{seed}"
    if (folder / TIMES).exists():
        return folder
    _told(f"{group}: training with seed {seed} in {folder}")
    load, start = os.getloadavg()[0], time.perf_counter()
    done = subprocess.run(
        [str(own_python()), "-m", "seq2seq", "train", f"forecasting/m3_{group}", f"seed={seed}",
         "tracking=none", f"hydra.run.dir={folder}"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"the training of m3_{group} failed:\n{done.stderr}")
    times = {"seconds": seconds, "load": load, "commit": own_git_state()}
    (folder / TIMES).write_text(json.dumps(times), encoding="utf-8")
    _told(f"{group}: seed {seed}, {seconds:.1f} s")
    return folder


def read_rows(path: Path) -> Rows:
    """Reads rows of `predictions/`."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def ensemble(members: Sequence[Rows]) -> Rows:
    """Returns the mean of several models' forecasts, and of their quantiles.

    Raises:
        ValueError: If they are not of the same series.
    """
    joined = []
    for rows in zip(*members, strict=True):
        first = rows[0]
        if len({(row["unique_id"], row["cutoff"]) for row in rows}) > 1:
            raise ValueError(f"{first['unique_id']}: the models' rows are of different series")
        mean = np.mean([row["prediction"] for row in rows], axis=0)
        quantiles = {
            level: np.mean([row["quantiles"][level] for row in rows], axis=0).tolist()
            for level in first["quantiles"]
        }
        joined.append({**first, "prediction": mean.tolist(), "quantiles": quantiles})
    return joined


def forecast_with(method: str, group: str, rows: Rows) -> tuple[Rows, dict[str, float]]:
    """Returns the rows with another method's forecasts, and how long these took.

    Raises:
        ValueError: If a row does not begin where the test part of its series does, or has other
            quantiles than are forecast.
    """
    measured = classical(method, group)
    joined = []
    for row in rows:
        forecast = measured["forecasts"][row["unique_id"]]
        if row["cutoff"] != forecast["cutoff"]:
            raise ValueError(f"{row['unique_id']}: the test part begins after {forecast['cutoff']}")
        if set(row["quantiles"]) != set(forecast["quantiles"]):
            raise ValueError(f"{row['unique_id']}: quantiles are {', '.join(row['quantiles'])}")
        joined.append({**row, **forecast})
    return joined, measured["times"]


def classical(method: str, group: str, processes: int = os.cpu_count() or 1) -> dict[str, Any]:
    """Forecasts the test parts with a method, if that was not done yet; `forecasts` are by series.

    The series are shared among some processes, whose processor times are added.
    """
    code = Path(baseline_forecasts.__code__.co_filename).read_bytes()
    path = cache_directory() / "m3" / f"{group}_{method}_{_hashed(code)}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    _told(f"{group}: forecasting with {method}")
    load, start = os.getloadavg()[0], time.perf_counter()
    tasks = [(method, group, number, processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_every, *zip(*tasks, strict=True)))
    times = {
        "seconds": time.perf_counter() - start,
        "processor_seconds": sum(seconds for _, seconds in parts),
        "load": load,
    }
    forecasts = {name: row for part, _ in parts for name, row in part.items()}
    measured = {"times": times, "forecasts": forecasts}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(measured), encoding="utf-8")
    _told(f"{group}: {method}, {times['processor_seconds']:.1f} s of processor time")
    return measured


def _every(method: str, group: str, first: int, step: int) -> tuple[dict[str, Any], float]:
    """Forecasts every so many series; returns the rows, and the seconds of processor time."""
    records = list(M3(group, str(_folder())).records("test"))[first::step]
    horizon = HORIZONS[group]
    histories = [np.asarray(record["y"][:-horizon], float) for record in records]
    baseline_forecasts(method, histories[:1], horizon, SEASONS[group], LEVELS)  # imports
    start = time.process_time()
    points, quantiles = baseline_forecasts(method, histories, horizon, SEASONS[group], LEVELS)
    seconds = time.process_time() - start
    rows = {
        record["unique_id"]: {
            "cutoff": record["ds"][-horizon - 1],
            "prediction": points[number].tolist(),
            "quantiles": {
                str(level): values[number].tolist() for level, values in (quantiles or {}).items()
            },
        }
        for number, record in enumerate(records)
    }
    return rows, seconds


def _folder() -> Path:
    return Path(os.environ.get("SEQ2SEQ_DATA", ROOT.parent / "shared" / "data"), "m3")


def _hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


def mean_of_seeds(scores: Mapping[str, Scores]) -> Scores:
    """Returns the mean of each score over the seeds."""
    seeds = [measured for name, measured in scores.items() if name.startswith("seed ")]
    return {score: statistics.fmean(measured[score] for measured in seeds) for score in seeds[0]}


def of_all(rows: Mapping[str, Mapping[str, Rows]]) -> dict[str, Scores]:
    """Returns sMAPE, the mean of all forecasts, and MASE, the mean of all series, of each method.

    Args:
        rows: By group and method, the rows of its series.
    """
    methods = next(iter(rows.values()))
    scores = {}
    for name in methods:
        measured = forecast_scores([row for group in rows.values() for row in group[name]])
        scores[name] = {score: measured[score] for score in ("smape", "mase")}
    return {"mean of seeds": mean_of_seeds(scores), **scores}


def table(measured: Mapping[str, Any]) -> str:
    """Returns the scores of all methods in Markdown."""
    groups: Mapping[str, Any] = measured["groups"]
    shown = [f"{group} sMAPE" for group in groups] + ["all sMAPE", "all MASE"]
    if DETAILED in groups:
        shown += [f"{DETAILED} 80 %", "95 %", "CRPS"]
    lines = ["| | " + " | ".join([*shown, "seconds"]) + " |", "|---" * (len(shown) + 2) + "|"]
    for name, pooled in measured["all"].items():
        cells = [f"{group['scores'][name]['smape']:.2f}" for group in groups.values()]
        cells += [f"{pooled['smape']:.2f}", f"{pooled['mase']:.3f}"]
        if DETAILED in groups:
            low, high, crps = (groups[DETAILED]["scores"][name][score] for score in OF_INTERVALS)
            cells += [f"{100 * low:.1f}", f"{100 * high:.1f}", f"{crps:.1f}"]
        times = [group["times"].get(name) for group in groups.values()]
        seconds = [each.get("processor_seconds", each["seconds"]) for each in times if each]
        cells.append(f"{sum(seconds):,.1f}" if len(seconds) == len(groups) else "")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
