"""How cost grows: with the batch, the model, the sequences, the vocabulary, and the data."""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import PROGRAMS, WARM_UP, Program, prepared, run_program
from benchmarks.plots import growth_plot
from benchmarks.summary import medians
from benchmarks.works import WORKS, Work

# Rows of the same length, so that only what is varied varies.
BASE = replace(WORKS["A"], title="translation with attention, 20 tokens a row", length=20)
SENTENCES = "sentences"
MOST_SENTENCES = 10_000_000
AXES: dict[str, Sequence[int]] = {
    "batch_size": (8, 16, 32, 64, 128, 256),
    "units": (64, 128, 256, 512, 1024),
    "length": (5, 10, 20, 40, 80, 160),
    "vocabulary": (1000, 4000, 8000, 16_000, 32_000),
    SENTENCES: (10_000, 100_000, 1_000_000, MOST_SENTENCES),
}

Series = dict[str, list[dict[str, float]]]


def main(arguments: argparse.Namespace) -> None:
    """Measures one axis after the other; what is known is written after each."""
    load = load_before()
    found: dict[str, Series] = {}
    for axis in arguments.axes:
        values = AXES[axis]
        if axis == SENTENCES:
            values = [value for value in values if value <= arguments.sentences]
        programs = ["seq2seq"] if axis == SENTENCES else arguments.programs
        found[axis] = {program: [] for program in programs}
        for value in values:
            for program in programs:
                figures = measure(axis, value, program, arguments.rounds, arguments.steps)
                found[axis][program].append({axis: value, **figures})
                speed = figures["tokens_per_second"]
                print(f"{axis} {value:,}: {program} {speed:,.0f} tokens/s", file=sys.stderr)
        about = about_machine(
            load_before=load, rounds=arguments.rounds, steps=arguments.steps, base=vars(BASE)
        )
        write(arguments.results / "growth", {**about, "axes": found}, growth_plot(found))
    print("\n\n".join(table(axis, series) for axis, series in found.items()))


def measure(axis: str, value: int, program: str, rounds: int, steps: int) -> dict[str, float]:
    """Returns the medians of one program at one point."""
    if axis == SENTENCES:
        return medians([many_sentences(value, steps) for _ in range(rounds)])
    work = varied(axis, value)
    with prepared(work, steps) as (path, _):
        return medians([run_program(PROGRAMS[program], work, path) for _ in range(rounds)])


def varied(axis: str, value: int) -> Work:
    """Returns the base work with another size."""
    change: dict[str, Any] = {axis: value}
    work = replace(BASE, **change)
    return replace(work, outputs=value) if axis == "vocabulary" else work


def many_sentences(sentences: int, steps: int) -> dict[str, Any]:
    """Trains some steps on a shuffled epoch of that many sentences."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program("many_sentences")
        size = {"sentences": sentences, "steps": WARM_UP + steps}
        return run_program(program, WORKS["A"], Path(folder), **size)


def table(axis: str, series: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Returns one axis in Markdown."""
    columns = [f"{program}: {figure}" for program in series for figure in ("tokens/s", "peak MiB")]
    lines = [f"| {axis} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for points in zip(*series.values(), strict=True):
        cells = [
            f"{point['tokens_per_second']:,.0f} | {point['peak_memory_mib']:,.0f}"
            for point in points
        ]
        lines.append(f"| {points[0][axis]:,} | {' | '.join(cells)} |")
    return "\n".join(lines)
