"""Time to quality: BLEU over the minutes of training, ours and others', on Multi30k."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.files import about_machine, load_before, write
from benchmarks.learners import LEARNERS, Points, Task
from benchmarks.multi30k import read_texts
from benchmarks.plots import quality_plot
from benchmarks.trials import Trial, drawn

PROGRAMS = LEARNERS
DEFAULT = ("seq2seq", "torch_tuned")
BLEUS = (30.0, 35.0, 37.0, 39.0)
GOAL = {"bleu": 35.0, "minutes": 6.0}
"""What issue 4 asks for."""

Curves = list[tuple[Trial | None, Points]]
"""Of each trial."""


def main(arguments: argparse.Namespace) -> None:
    """Trains one after the other; what is known is written after each.

    With more than one trial, each is trained with the validation set translated after each epoch;
    for each BLEU the trial that reached it first is trained again with the test set.
    """
    load, texts = load_before(), read_texts()
    found: dict[str, dict[str, Any]] = {}
    about = about_machine(load_before=load, overrides=arguments.overrides, trials=arguments.trials)
    for name in arguments.programs:

        def learn(trial: Trial | None, split: str, name: str = name) -> Points:
            return LEARNERS[name](Task(texts, split, arguments.epochs, trial, arguments.overrides))

        found[name] = result(tested(name, learn, arguments.trials))
        curves = {program: each["curve"] for program, each in found.items()}
        write(
            arguments.results / "quality", {**about, "programs": found}, quality_plot(curves, GOAL)
        )
    print(table(found))


def tested(name: str, learn: Callable[[Trial | None, str], Points], count: int) -> Curves:
    """Returns the test set's curves of the trials that are best on the validation set."""
    if count == 1:
        return [(None, learn(None, "test"))]
    tried: Curves = []
    for number, trial in enumerate(drawn(count), start=1):
        tried.append((trial, learn(trial, "validation")))
        print(f"{name}: trial {number}: {trial} {tried[-1][1][-1]}", file=sys.stderr, flush=True)
    return [(trial, learn(trial, "test")) for trial in best_trials(tried)]


def best_trials(tried: Curves) -> list[Trial | None]:
    """Returns the trials that were the first to reach one of the BLEUs, and that of the highest."""
    chosen = [max(tried, key=lambda each: max(p["bleu"] for p in each[1]))[0]]
    for bleu in BLEUS:
        times = {trial: moment for trial, points in tried if (moment := minutes_to(bleu, points))}
        if times:
            chosen.append(min(times, key=times.__getitem__))
    return list(dict.fromkeys(chosen))


def minutes_to(bleu: float, points: Points) -> float | None:
    """Returns the minutes of the first point that is as good; None where none is."""
    return next((each["minutes"] for each in points if each["bleu"] >= bleu), None)


def result(curves: Curves) -> dict[str, Any]:
    """Returns the minutes to each BLEU, by the fastest of the curves, and all curves.

    Args:
        curves: On the test set; the first is that of the trial with the highest BLEU.
    """
    reached = {}
    for bleu in BLEUS:
        moments = [moment for _, points in curves if (moment := minutes_to(bleu, points))]
        reached[f"{bleu:g}"] = min(moments, default=None)
    trials = [
        {"trial": asdict(trial) if trial else None, "points": points} for trial, points in curves
    ]
    return {"minutes_to": reached, "curve": curves[0][1], "trials": trials}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns what was reached, and when, in Markdown."""
    titles = [f"minutes to {bleu:g} BLEU" for bleu in BLEUS]
    lines = [
        f"| program | {' | '.join(titles)} | last epoch |",
        "|---" * (len(BLEUS) + 2) + "|",
    ]
    for name, each in found.items():
        cells = [f"{moment:.1f}" if moment else "–" for moment in each["minutes_to"].values()]
        last = each["curve"][-1]
        lines.append(
            f"| {name} | {' | '.join(cells)} "
            f"| {last['bleu']:.1f} after {last['minutes']:.1f} minutes |"
        )
    return "\n".join(lines)
