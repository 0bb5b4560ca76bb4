"""How a training step would scale to more processors than there are, by a model of its loops.

The kernels are compiled so that they split their loops as for many threads, but run them on one,
and record how long each loop takes (`loop_trace.h`). With P threads, a loop of n iterations is
taken to last as long as its slowest thread, ceil(n / P) average iterations, and the cost of one
more barrier for each thread. All else of a step stays as long as it is: the kernels' own serial
code, and TensorFlow's operations between them. Not in the model: memory bandwidth that threads
share, slower clocks where many are busy.
"""

import argparse
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import PROGRAMS, WARM_UP, Result, prepared, run_program
from benchmarks.works import WORKS

THREADS = (1, 2, 4, 8, 16, 32, 64)
SOURCE = Path(__file__).parents[1] / "seq2seq" / "ops" / "source"
NAMED = 8
"""How many places in the code a report names."""


@dataclass(frozen=True)
class Loop:
    """A parallel loop, or a kernel, and the loops within.

    Attributes:
        place: Its file and line.
        iterations: How many it has; 0 for a kernel.
        seconds: How long it took on one thread.
        inner: The loops within.
    """

    place: str
    iterations: int
    seconds: float
    inner: list["Loop"] = field(default_factory=list)

    def on(self, threads: int, barrier: float) -> float:
        """Returns the seconds that it takes on `threads` threads, of `barrier` seconds a thread."""
        within = sum(loop.seconds for loop in self.inner)
        alone = self.seconds - within
        if self.iterations == 0:
            return alone + sum(loop.on(threads, barrier) for loop in self.inner)
        # Loops within iterations have their share of the threads: halves of a batch, directions.
        share = max(1, threads // max(1, self.iterations))
        work = alone + sum(loop.on(share, barrier) for loop in self.inner)
        rounds = math.ceil(self.iterations / threads)
        return work / self.iterations * rounds + barrier * (min(threads, self.iterations) - 1)


def main(arguments: argparse.Namespace) -> None:
    """Models the steps of each work for up to 64 threads, and measures one and all processors."""
    load = load_before()
    processors = len(os.sched_getaffinity(0))
    barrier = loop_cost() / max(1, processors - 1)
    modelled: dict[str, Any] = {}
    for key in arguments.works:
        with prepared(WORKS[key], arguments.steps) as (batches, _):
            measured = {
                threads: run_program(
                    PROGRAMS["seq2seq"], WORKS[key], batches, {"SEQ2SEQ_THREADS": str(threads)}
                )["milliseconds_per_step"]
                for threads in sorted({1, processors})
            }
            modelled[key] = model(key, batches, arguments.steps, barrier) | {"measured": measured}
        print(table(key, modelled[key]))
        about = about_machine(load_before=load, steps=arguments.steps, barrier=barrier)
        write(arguments.results / "scaling", {**about, "works": modelled})


def model(key: str, batches: Path, steps: int, barrier: float) -> dict[str, Any]:
    """Returns milliseconds a step by the number of threads, in all and by place."""
    places: dict[str, dict[int, float]] = {}
    totals = {}
    for threads in THREADS:
        kernels, result = traced(key, batches, threads)
        # The last steps' ones: every step runs the same kernels.
        counted = kernels[-len(kernels) * steps // (WARM_UP + steps) :]
        times = by_place(counted, threads, barrier, steps)
        on_one_thread = 1e3 * sum(kernel.seconds for kernel in counted) / steps
        times["TensorFlow, Python"] = result["milliseconds_per_step"] - on_one_thread
        totals[threads] = sum(times.values())
        for place, milliseconds in times.items():
            places.setdefault(place, {})[threads] = milliseconds
    return {"milliseconds": totals, "places": places}


def by_place(kernels: Sequence[Loop], threads: int, barrier: float, steps: int) -> dict[str, float]:
    """Returns the milliseconds a step of each outermost loop, and of kernels' serial code."""
    times: dict[str, float] = {}
    for kernel in kernels:
        serial = kernel.seconds - sum(loop.seconds for loop in kernel.inner)
        name = f"{kernel.place.partition(':')[0]}, serial"
        times[name] = times.get(name, 0) + 1e3 * serial / steps
        for loop in kernel.inner:
            taken = 1e3 * loop.on(threads, barrier) / steps
            times[loop.place] = times.get(loop.place, 0) + taken
    return times


def traced(key: str, batches: Path, threads: int) -> tuple[list[Loop], Result]:
    """Trains with loops that are split for `threads` threads; returns the kernels that ran."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "loops.csv")
        flags = f"{os.environ.get('SEQ2SEQ_KERNEL_FLAGS', '')} -DSEQ2SEQ_TRACE_LOOPS"
        variables = {
            "SEQ2SEQ_KERNEL_FLAGS": flags,
            "SEQ2SEQ_LOOP_TRACE": str(trace),
            "SEQ2SEQ_THREADS": str(threads),
            "TF_NUM_INTRAOP_THREADS": "1",
        }
        result = run_program(PROGRAMS["seq2seq"], WORKS[key], batches, variables)
        return read_trace(trace.read_text(encoding="utf-8")), result


def read_trace(text: str) -> list[Loop]:
    """Returns the kernels of a trace, whose lines name those within before the one they are in."""
    finished: dict[int, list[Loop]] = {}
    for line in text.splitlines():
        depth, place, iterations, nanoseconds = line.split(",")
        inner = finished.pop(int(depth) + 1, [])
        loop = Loop(Path(place).name, int(iterations), int(nanoseconds) / 1e9, inner)
        finished.setdefault(int(depth), []).append(loop)
    return [loop for loop in finished.get(0, []) if loop.iterations == 0]


def loop_cost() -> float:
    """Returns the seconds that an empty loop takes on all processors."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "loop_cost")
        source = Path(__file__).with_name("loop_cost.cc")
        flags = ["-std=c++17", "-O2", "-march=native", "-pthread", f"-I{SOURCE}"]
        subprocess.run(["c++", *flags, str(source), "-o", str(program)], check=True)
        return int(subprocess.check_output([str(program)])) / 1e9


def table(key: str, figures: Mapping[str, Any]) -> str:
    """Returns a work's model in Markdown, with the places that take longest on most threads."""
    totals, places = figures["milliseconds"], figures["places"]
    lines = [
        f"| {key}, ms a step | {' | '.join(map(str, THREADS))} |",
        "|---" * (len(THREADS) + 1) + "|",
    ]

    def add(name: str, times: Mapping[int, float]) -> None:
        cells = [f"{times.get(threads, 0):.2f}" for threads in THREADS]
        lines.append(f"| {name} | {' | '.join(cells)} |")

    add("all", totals)
    longest = sorted(places, key=lambda place: -places[place].get(THREADS[-1], 0))
    for place in longest[:NAMED]:
        add(place, places[place])
    measured = ", ".join(f"{n}: {ms:.1f}" for n, ms in figures["measured"].items())
    return "\n".join([*lines, f"measured with threads: {measured}", ""])
