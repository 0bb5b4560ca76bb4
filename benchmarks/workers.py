"""How much faster a distributed training would be, by a model of its steps.

    python -m benchmarks workers                            # measures, and prints tables
    python -m benchmarks workers --figures 10,48,29,0.81,0.68  # of ms and MB, see `Cost`
    python -m benchmarks workers --check 100,1000           # as root: 2 processes, Mbit/s of a link

A step of n workers takes what its update, its Python and its launches take on each (`serial`), a
share of what the rows of a batch take on one (`rows`), and the communication: each worker sends
every other one a part of its dense gradients, then its sum of a part, together `2 (n - 1) / n` of
them; and the rows of tables that its tokens have, each once, to all others. Their number grows as a
power of the tokens (Heaps' law). Nothing overlaps. Not in the model: stragglers, and links that
workers share.
"""

import argparse
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batches import Batch
from benchmarks.files import about_machine, load_before, write
from benchmarks.harness import PROGRAMS, ROOT, WARM_UP, prepared, run_program
from benchmarks.programs.job import Job
from benchmarks.works import WORKS, Work
from seq2seq.cluster import TF_CONFIG, tf_config

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LINKS = {"1 Gbit/s": 1e9, "10 Gbit/s": 1e10, "100 Gbit/s": 1e11}
LATENCY = 1e-4
"""Seconds that a message takes on its way, however small."""
HANDLING = 5e-9
"""Seconds that TensorFlow and gRPC need on a processor for each byte that a worker sends, and to
receive and add up as many: 28 MB took 0.15 to 0.19 (AMD EPYC, Zen 3, 2026-11-30)."""
MESSAGES = 6
"""Exchanges of a step, one after the other; plus two for each embedding table."""
TABLES = 2
"""The embedding tables of a translator."""
GROUPED = 8
"""The batches that distinct tokens are counted in, besides one batch."""
PORT = 8888


@dataclass(frozen=True)
class Cost:
    """What a step needs.

    Attributes:
        serial: Seconds that do not depend on the rows of a batch.
        rows: Seconds for the rows of a whole batch, on one worker.
        dense: Bytes of the gradients that are no rows of tables.
        sparse: Bytes of the rows of tables of a whole batch, each row once.
        growth: The power of the tokens that the number of such rows grows with, 0 to 1.
        tables: The number of embedding tables.
    """

    serial: float
    rows: float
    dense: float
    sparse: float
    growth: float
    tables: int


def sent_bytes(cost: Cost, workers: int, batches: float = 1) -> float:
    """Returns the bytes that each worker sends in a step.

    Args:
        cost: What a step of one batch needs.
        workers: How many divide the rows.
        batches: The batches of a step of all workers.
    """
    own_rows = cost.sparse * (batches / workers) ** cost.growth
    return (workers - 1) * (2 * cost.dense / workers + own_rows)


def step_seconds(
    cost: Cost, workers: int, bits_per_second: float, batches: float = 1, accumulate: int = 1
) -> float:
    """Returns the seconds of a step.

    Args:
        cost: What a step of one batch needs.
        workers: How many divide the rows of each batch.
        bits_per_second: Of each worker's link.
        batches: How many times the rows a batch has; as many as workers: a batch for each.
        accumulate: The batches of a step, one after the other.
    """
    computed = accumulate * (cost.serial + batches * cost.rows / workers)
    if workers == 1:
        return computed
    messages = MESSAGES + 2 * cost.tables
    sent = sent_bytes(cost, workers, accumulate * batches)
    return computed + messages * LATENCY + (8 / bits_per_second + HANDLING) * sent


def speed_up(
    cost: Cost, workers: int, bits_per_second: float, batches: float = 1, accumulate: int = 1
) -> float:
    """Returns how many times the sentences of one worker all do in a second."""
    step = step_seconds(cost, workers, bits_per_second, batches, accumulate)
    return accumulate * batches * step_seconds(cost, 1, bits_per_second) / step


def figures(text: str) -> list[float]:
    """Reads the milliseconds and megabytes of a `Cost`."""
    numbers = [float(number) for number in text.split(",")]
    if len(numbers) != 5:
        text = "five numbers: ms of serial and rows, MB dense and sparse, and growth"
        raise argparse.ArgumentTypeError(text)
    return numbers


def main(arguments: argparse.Namespace) -> None:
    """Measures the steps of each work, and models them for up to 256 workers."""
    if arguments.figures:
        serial, rows, dense, sparse, growth = arguments.figures
        print(table(Cost(serial / 1e3, rows / 1e3, 1e6 * dense, 1e6 * sparse, growth, TABLES)))
        return
    load = load_before()
    works: dict[str, Any] = {}
    for key in arguments.works:
        work = replace(WORKS[key], batch_size=arguments.rows or WORKS[key].batch_size)
        with prepared(work, arguments.steps) as (batches, timed):
            cost = measured_cost(work, batches, timed)
            works[key] = {"cost": asdict(cost)}
            print(f"{key}: {asdict(cost)}")
            print(table(cost))
            if arguments.check:
                works[key]["check"] = check(work, batches, timed, arguments.check)
        about = about_machine(load_before=load, steps=arguments.steps)
        write(arguments.results / "workers", {**about, "works": works})


def measured_cost(work: Work, batches: Path, timed: list[Batch]) -> Cost:
    """Measures steps of whole and of half batches, and counts the bytes of the gradients."""
    seconds = {
        shards: run_worker(work, batches, {}, shards)["milliseconds_per_step"] / 1e3
        for shards in (1, 2)
    }
    rows = 2 * (seconds[1] - seconds[2])
    return Cost(seconds[1] - rows, rows, *gradient_bytes(work, timed))


def run_worker(
    work: Work, batches: Path, variables: Mapping[str, str], halves: int = 1
) -> Mapping[str, float]:
    """Trains one worker on one of the equal parts of each batch."""
    return run_program(replace(PROGRAMS["seq2seq"], module="worker"), work, batches, variables,
                       parts=halves)  # fmt: skip


def gradient_bytes(work: Work, batches: list[Batch]) -> tuple[int, float, float, int]:
    """Returns `dense`, `sparse`, `growth` and `tables` of a `Cost`."""
    from benchmarks.programs.ours import trained_model

    weights = trained_model(work).trainable_variables
    tables = sum(weight.path.endswith("embeddings") for weight in weights)
    dense = sum(int(np.prod(w.shape)) for w in weights if not w.path.endswith("embeddings"))
    rows, growth = distinct_tokens(batches)
    return 4 * dense, rows * 4 * (work.embedding + 1), growth, tables


def distinct_tokens(batches: list[Batch]) -> tuple[float, float]:
    """Returns the distinct tokens of a batch, and the power of the tokens that they grow with."""
    names = [name for name in ("source", "target") if name in batches[0]]

    def count(group: list[Batch]) -> int:
        return sum(
            len(np.unique(np.concatenate([b[name].ravel() for b in group]))) for name in names
        )

    groups = [batches[first : first + GROUPED] for first in range(0, len(batches), GROUPED)]
    of_one = float(np.mean([count([batch]) for batch in batches]))
    of_several = float(np.mean([count(group) for group in groups if len(group) == GROUPED]))
    return of_one, float(np.log(of_several / of_one) / np.log(GROUPED))


def table(cost: Cost) -> str:
    """Returns the expected speed-up by link, settings and workers in Markdown."""
    rounded = replace(cost, dense=cost.dense / 2, sparse=cost.sparse / 2)
    settings = {
        "one batch divided": (cost, False, 1),
        "a batch each": (cost, True, 1),
        "and bfloat16": (rounded, True, 1),
        "and accumulate=8": (rounded, True, 8),
    }
    lines = [f"| speed-up | {' | '.join(map(str, WORKERS))} |", "|---" * (len(WORKERS) + 1) + "|"]
    for link, bits in LINKS.items():
        for name, (needed, grows, accumulate) in settings.items():
            cells = [
                f"{speed_up(needed, workers, bits, workers if grows else 1, accumulate):.1f}"
                for workers in WORKERS
            ]
            lines.append(f"| {link}, {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def check(
    work: Work, batches: Path, timed: list[Batch], rates: list[int]
) -> dict[int, dict[str, float]]:
    """Compares two processes in network namespaces with the model; one thread for each.

    Returns:
        By the Mbit/s of the link the milliseconds of a step, expected and measured.
    """
    one_thread = {"SEQ2SEQ_THREADS": "1"}
    half = run_worker(work, batches, one_thread, 2)["milliseconds_per_step"] / 1e3
    cost = Cost(half, 0.0, *gradient_bytes(work, timed))
    results = {}
    for rate in rates:
        with linked_namespaces(rate) as names:
            measured = max(run_pair(work, batches, names))
        expected = 1e3 * step_seconds(cost, 2, rate * 1e6)
        results[rate] = {"expected": expected, "measured": measured}
        print(f"{rate} Mbit/s: expected {expected:.0f} ms, measured {measured:.0f} ms")
    return results


@contextlib.contextmanager
def linked_namespaces(megabits: int) -> Iterator[list[str]]:
    """Makes two network namespaces with a link of a rate; removes them with the block."""
    names = [f"seq2seq-{os.getpid()}-{number}" for number in range(2)]
    links = [f"s2s{number}" for number in range(2)]
    burst = f"{max(64, megabits)}kb"  # what a timer tick lets through
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", links[0], "netns", names[0], "type", "veth",
            "peer", "name", links[1], "netns", names[1])  # fmt: skip
        for number, (name, link) in enumerate(zip(names, links, strict=True)):
            _ip("-n", name, "address", "add", f"10.77.0.{number + 1}/24", "dev", link)
            for device in ("lo", link):
                _ip("-n", name, "link", "set", device, "up")
            rate = ["rate", f"{megabits}mbit", "burst", burst, "latency", "400ms"]
            subprocess.run(
                ["tc", "-n", name, "qdisc", "add", "dev", link, "root", "tbf", *rate], check=True
            )
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def run_pair(work: Work, batches: Path, namespaces: list[str]) -> list[float]:
    """Trains with a worker in each namespace; returns the milliseconds of a step of each."""
    addresses = [f"10.77.0.{number + 1}:{PORT}" for number in range(2)]
    job = Job(work, str(batches), "float32", WARM_UP, started=0.0, parts=2)
    processes = []
    for index, name in enumerate(namespaces):
        variables = {TF_CONFIG: tf_config(addresses, index), "SEQ2SEQ_THREADS": "1"}
        command = [str(PROGRAMS["seq2seq"].python()), "-m", "benchmarks.programs.worker"]
        processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command, job.to_json()],
                cwd=ROOT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
    try:
        outputs = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        raise RuntimeError("\n".join(stderr for _, stderr in outputs))
    return [json.loads(out.splitlines()[-1])["milliseconds_per_step"] for out, _ in outputs]
