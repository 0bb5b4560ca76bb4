"""Reports the trials of a sweep, as files and on the terminal."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seq2seq.evaluation.significance import mean_and_deviation
from seq2seq.files import write_text
from seq2seq.plots.figure import save_figure
from seq2seq.plots.sweeps import importance_bars, parallel_coordinates
from seq2seq.scores import number
from seq2seq.sweeps.study import TrialStudy
from seq2seq.terminal import plain

MAX_ROWS = 20
SEED = "seed"


def write_report(study: TrialStudy, metric: str) -> None:
    """Writes `trials.json`, `best.json` and the figures into the sweep's folder."""
    _write_json(study.folder / "trials.json", [_row(trial) for trial in study.trials])
    if study.best is not None:
        ties = {"ties": study.ties} if study.ties else {}
        _write_json(study.folder / "best.json", {"metric": metric, **_row(study.best), **ties})
    finished = [t for t in study.trials if t.state.is_finished() and t.value is not None]
    if not any(trial.params for trial in finished):
        return
    figure = parallel_coordinates(
        [trial.params for trial in finished],
        [trial.value or 0.0 for trial in finished],
        metric,
        study.lower_is_better,
        [name for name, space in finished[0].distributions.items() if getattr(space, "log", False)],
    )
    save_figure(figure, study.folder / "plots" / "parallel_coordinates.png")
    importances = _importances(study.study)
    if importances:
        figure = importance_bars(importances, metric)
        save_figure(figure, study.folder / "plots" / "importance.png")


def _importances(study: optuna.Study) -> dict[str, float]:
    """Returns the shares of functional ANOVA (Hutter et al., 2014); empty for too few trials."""
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except (ValueError, RuntimeError):  # fewer than two trials, or all with the same value
        return {}


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state.is_finished() else None,
        **trial.params,
    }


def _write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def print_trials(study: TrialStudy, metric: str, console: Console) -> None:
    """Prints the best trials, means over seeds if they were swept over, and where the files are."""
    finished = [trial for trial in study.trials if trial.state.is_finished()]
    sign = 1 if study.lower_is_better else -1
    finished.sort(key=lambda trial: (trial.value is None, sign * (trial.value or 0.0)))
    names = list(finished[0].params) if finished else []
    headers = [name.rpartition(".")[2] for name in names]
    headers = headers if len(set(headers)) == len(headers) else names
    table = Table("trial", *map(escape, [*headers, metric]), "", box=None)
    for trial in finished[:MAX_ROWS]:
        values = [_short(trial.params[name]) for name in names]
        value = "" if trial.value is None else number(trial.value)
        state = "" if trial.state == TrialState.COMPLETE else trial.state.name.lower()
        table.add_row(*map(plain, [str(trial.number), *values, value, state]))
    console.print(table)
    if (hidden := len(finished) - MAX_ROWS) > 0:
        console.print(plain(f"... and {hidden} more in {study.folder / 'trials.json'}"))
    if SEED in names and len(names) > 1:
        console.print(_over_seeds(finished, [name for name in names if name != SEED], metric))
    unfinished = len(study.trials) - len(finished)
    if unfinished:
        console.print(f"{unfinished} trials are not finished")
    for label, text in (
        ("best", str(study.folder / str(study.best.number)) if study.best else ""),
        ("as good", ", ".join(map(str, study.ties))),
        ("sweep folder", str(study.folder)),
        ("resume by", f"seq2seq train resume={study.folder}" if unfinished else ""),
    ):
        if text:
            console.print(plain(f"{label + ':':<14}{text}"), soft_wrap=True)


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _over_seeds(trials: Sequence[FrozenTrial], names: Sequence[str], metric: str) -> Table:
    """Returns a table with mean and deviation of the trials that differ by their seed only."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for trial in trials:
        if trial.value is not None:
            key = tuple(_short(trial.params[name]) for name in names)
            groups.setdefault(key, []).append(trial.value)
    table = Table(*map(escape, names), f"{escape(metric)} over seeds", "seeds", box=None)
    for key, values in groups.items():
        mean, deviation = mean_and_deviation(values)
        spread = "" if deviation is None else f" ± {deviation:.2g}"
        table.add_row(*map(plain, [*key, f"{number(mean)}{spread}", str(len(values))]))
    return table
