"""Searches, ours and others': sentences a second, and one sentence alone; a table, JSON, a plot."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.batches import Batch, make_batches, save_batches
from benchmarks.environments import (
    eole_python,
    joeynmt_python,
    marian_python,
    opennmt_tf_python,
    torch_python,
)
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import Program, Result, left_out, run_program
from benchmarks.plots import OTHERS, OURS, TEXT
from benchmarks.programs.decode import COMPRESSED, INT8, INT8_SHORTLIST
from benchmarks.works import WORKS

PROGRAMS = {
    "seq2seq": Program("decode_ours"),
    "seq2seq_bf16": Program("decode_ours", "bfloat16"),
    "seq2seq_int8": Program("decode_ours", INT8),
    "seq2seq_int8_shortlist": Program("decode_ours", INT8_SHORTLIST),
    "seq2seq_compressed": Program("decode_ours", COMPRESSED),
    "keras": Program("decode_keras"),
    "keras_tuned": Program("decode_keras", tuned=True),
    "torch": Program("decode_torch", python=torch_python),
    "torch_tuned": Program("decode_torch", python=torch_python, tuned=True),
    "torch_bf16": Program("decode_torch", "bfloat16", python=torch_python, tuned=True),
    "torch_int8": Program("decode_torch", INT8, python=torch_python, tuned=True),
    "joeynmt": Program("decode_joeynmt", python=joeynmt_python, optional=True),
    "joeynmt_tuned": Program("decode_joeynmt", python=joeynmt_python, tuned=True, optional=True),
    "joeynmt_unsorted": Program("decode_joeynmt_unsorted", python=joeynmt_python, optional=True),
    "opennmt_tf": Program("decode_opennmt", python=opennmt_tf_python, optional=True),
    "eole": Program("decode_eole", python=eole_python, optional=True),
    "eole_tuned": Program("decode_eole", python=eole_python, tuned=True, optional=True),
    "marian": Program("decode_marian", python=marian_python, tuned=True, optional=True),
    "marian_int8": Program("decode_marian", INT8, python=marian_python, tuned=True, optional=True),
}
ALONE = "milliseconds_alone"
CUT = 5
FIGURES = {
    "greedy": "greedy, sentences a second",
    "beam_5": "beam of 5, sentences a second",
    ALONE: "one sentence alone, ms",
}
GOALS = {
    "greedy_over_torch": 1.5,
    "beam_5_over_torch": 3.0,
    "greedy_over_keras": 15.0,
    "greedy_over_joeynmt": 4.0,
    "beam_5_over_joeynmt": 5.0,
    "alone_over_opennmt_tf": 2.0,
}
"""What issue 4 asks for."""


def main(arguments: argparse.Namespace) -> None:
    """Measures round by round; what is known is written after each."""
    load, work = load_before(), WORKS["A"]
    results: dict[str, list[Result]] = {name: [] for name in arguments.programs}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "batches.npz")
        save_batches(sorted_by_length(arguments.steps), path)
        for number in range(1, arguments.rounds + 1):
            for name, rounds in results.items():
                rounds.append(run_program(PROGRAMS[name], work, path))
                print(f"round {number}: {name} {rounds[-1]}", file=sys.stderr, flush=True)
            found = summarised(results)
            about = about_machine(
                load_before=load, rounds=number, sentences=arguments.steps * work.batch_size
            )
            write(arguments.results / "decoding", {**about, **found}, plot(found["programs"]))
    print(table(found))
    print(left_out(PROGRAMS, arguments.programs))


def sorted_by_length(count: int) -> list[Batch]:
    """Returns batches of Multi30k's sentences, the shortest first, as every program wants them."""
    batches = make_batches(WORKS["A"], count)
    return sorted(batches, key=lambda batch: int(batch["source_length"].max()))


def summarised(results: Mapping[str, Sequence[Result]]) -> dict[str, Any]:
    """Returns medians over the rounds, what was measured in each, and ratios."""
    programs = {
        name: {
            key: statistics.median(r[key] for r in rounds) for key in FIGURES if key in rounds[0]
        }
        for name, rounds in results.items()
    }
    ratios = {}
    ours = programs.get("seq2seq", {})
    for peer, figures in programs.items():
        for key in ("greedy", "beam_5"):
            if peer != "seq2seq" and key in ours and key in figures:
                ratios[f"{key}_over_{peer}"] = ours[key] / figures[key]
        if peer != "seq2seq" and ours:
            ratios[f"alone_over_{peer}"] = figures[ALONE] / ours[ALONE]
    rounds = {name: list(each) for name, each in results.items()}
    return {"programs": programs, "ratios": ratios, "rounds_of": rounds}


def table(found: Mapping[str, Any]) -> str:
    """Returns the figures in Markdown."""
    lines = ["| program | " + " | ".join(FIGURES.values()) + " |", "|---|---|---|---|"]
    for name, figures in found["programs"].items():
        cells = (f"{figures[key]:,.1f}" if key in figures else "" for key in FIGURES)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    for name, ratio in found["ratios"].items():
        goal = f" (goal {GOALS[name]:g})" if name in GOALS else ""
        lines.append(f"{name}: {ratio:.2f}{goal}")
    return "\n".join(lines)


def plot(programs: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draws a panel of bars for each figure."""
    figure = Figure(figsize=(13, 0.9 + 0.4 * len(programs)), layout="constrained")
    for axes, (key, title) in zip(
        figure.subplots(1, 3, squeeze=False)[0], FIGURES.items(), strict=True
    ):
        names = [name for name in programs if key in programs[name]][::-1]
        values = [programs[name][key] for name in names]
        colors = [OURS if name.startswith("seq2seq") else OTHERS for name in names]
        # A bar several times as long as all others is cut off: they could not be told apart.
        *others, longest = sorted(values) or [1]
        end = longest if not others or longest < CUT * others[-1] else others[-1]
        axes.barh(names, values, color=colors)
        for name, value in zip(names, values, strict=True):
            text = f"{value:,.{0 if value >= 10 else 1}f}{' →' if value > end else ''}"
            axes.text(min(value, end), name, f" {text}", va="center", color=TEXT)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=TEXT)
        axes.set_xlim(0, 1.2 * end)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
