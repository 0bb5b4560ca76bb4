"""What a sweep has found, as files and for a person."""

import json
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from seq2seq.evaluation.significance import mean_and_deviation
from seq2seq.files import write_text
from seq2seq.plots.figure import save_figure
from seq2seq.plots.sweeps import importance_bars, parallel_coordinates
from seq2seq.sweeps.study import TrialStudy
from seq2seq.terminal import plain

SHOWN = 20
SEED = "seed"


def write_report(study: TrialStudy, metric: str) -> None:
    """Writes `trials.json`, `best.json` and the pictures into the sweep's folder.

    Args:
        study: The sweep's study.
        metric: What it optimises, such as `val_loss`.
    """
    rows = [_row(trial) for trial in study.trials]
    _write(study, "trials.json", rows)
    best = study.best
    if best is not None:
        _write(study, "best.json", {"metric": metric, **_row(best)})
    ended = [t for t in study.trials if t.state.is_finished() and t.value is not None]
    if not any(trial.params for trial in ended):
        return
    lower = study.study.direction == StudyDirection.MINIMIZE
    figure = parallel_coordinates(
        [trial.params for trial in ended],
        [trial.value or 0.0 for trial in ended],
        metric,
        lower,
        [name for name, space in ended[0].distributions.items() if _is_log(space)],
    )
    save_figure(figure, study.folder / "plots" / "parallel_coordinates.png")
    importances = _importances(study.study)
    if importances:
        figure = importance_bars(importances, metric)
        save_figure(figure, study.folder / "plots" / "importance.png")


def _importances(study: optuna.Study) -> dict[str, float]:
    """Optuna's functional ANOVA (Hutter et al., 2014); empty where trials are too few."""
    try:
        found = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=1)
        )
    except (ValueError, RuntimeError):  # fewer than two trials, or all of one value
        return {}
    return dict(found)


def _is_log(space: object) -> bool:
    return isinstance(space, FloatDistribution | IntDistribution) and space.log


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.state.is_finished() else None,
        **trial.params,
    }


def _write(study: TrialStudy, name: str, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_text(study.folder / name, text)  # whole: other processes report on it, too


def print_trials(study: TrialStudy, metric: str, console: Console) -> None:
    """Prints the best trials, the mean over seeds where they were swept, and where to look."""
    ended = [t for t in study.trials if t.state.is_finished()]
    sign = 1 if study.study.direction == StudyDirection.MINIMIZE else -1
    ended.sort(key=lambda t: (t.value is None, sign * (t.value or 0.0)))
    names = list(ended[0].params) if ended else []
    heads = [name.rpartition(".")[2] for name in names]
    heads = heads if len(set(heads)) == len(heads) else names
    table = Table("trial", *map(escape, [*heads, metric]), "", box=None)
    for trial in ended[:SHOWN]:
        values = [_short(trial.params[name]) for name in names]
        value = "" if trial.value is None else f"{trial.value:.4g}"
        state = "" if trial.state == TrialState.COMPLETE else trial.state.name.lower()
        table.add_row(*map(plain, [str(trial.number), *values, value, state]))
    console.print(table)
    if len(ended) > SHOWN:
        console.print(plain(f"... and {len(ended) - SHOWN} more in {study.folder / 'trials.json'}"))
    if SEED in names and len(names) > 1:
        console.print(_over_seeds(ended, [name for name in names if name != SEED], metric))
    open_trials = len(study.trials) - len(ended)
    if open_trials:
        console.print(f"{open_trials} trials are not finished")
    for label, text in (
        ("best", str(study.folder / str(study.best.number)) if study.best else ""),
        ("sweep folder", str(study.folder)),
        ("go on", f"seq2seq train resume={study.folder}" if open_trials else ""),
    ):
        if text:
            console.print(plain(f"{label + ':':<14}{text}"), soft_wrap=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _over_seeds(trials: Sequence[FrozenTrial], names: Sequence[str], metric: str) -> Table:
    """Mean and deviation of trials that differ by their seed only."""
    groups: dict[tuple[str, ...], list[float]] = {}
    for trial in trials:
        if trial.value is not None:
            key = tuple(_short(trial.params[name]) for name in names)
            groups.setdefault(key, []).append(trial.value)
    table = Table(*map(escape, names), f"{escape(metric)} over seeds", "seeds", box=None)
    for key, values in groups.items():
        mean, deviation = mean_and_deviation(values)
        spread = "" if deviation is None else f" ± {deviation:.2g}"
        table.add_row(*map(plain, [*key, f"{mean:.4g}{spread}", str(len(values))]))
    return table
