"""Kills random workers of distributed trainings with SIGKILL, and goes on with other numbers.

Each task is trained once undisturbed, with one process. Then it is started with 2 or 4 workers, one
of which is killed at a random time, mostly after the first checkpoint; `launch` has to end within
30 seconds. It is started again with 1, 2 or 4 workers, and has to end with the results of the
undisturbed training, bit by bit.

    python -m benchmarks.faults worker_kills --kills 50 --folder /tmp/kills  # about a minute each
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.faults.trainings import TASKS, differences, results, write_data
from seq2seq.cache import cache_directory
from seq2seq.run_folder import checkpoint_paths

SHARDS = 4
WORKERS = (1, 2, 4)
EARLY = 0.2
"""The share of kills before the first checkpoint."""
LONGEST = 600.0
"""Seconds after which a command has failed."""
MOST_SECONDS = 30.0
"""Seconds that a training may take to end after one of its workers."""
IDENTICAL = "identical"


@dataclass(frozen=True)
class Killed:
    """A training whose worker was killed: `outcome` is `IDENTICAL`, or says what is wrong."""

    task: str
    workers: int
    killed: int
    """The number of the killed worker."""
    seconds: float
    """How long after the start, or after the first checkpoint if there was one, it was killed."""
    ended_after: float
    """How many seconds later the training had ended."""
    checkpoints: int
    """How many there were then."""
    resumed_with: int
    outcome: str


class Trial:
    """A training that is killed again and again.

    Args:
        folder: For data, runs and caches.
        task: One of `TASKS`.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self.folder, self.task = folder / task, task
        self.folder.mkdir(parents=True, exist_ok=True)
        overrides = write_data(task, self.folder / "data")
        settings = ("trainer.epochs=8", "trainer.checkpoint_steps=2", "trainer.keep=20")
        distribute = ("distribute=multi_worker", f"distribute.shards={SHARDS}")
        tracking = ("tracking=none", "hydra.run.dir=run")
        self.command = ["train", *overrides, *settings, *distribute, *tracking]
        kernels = os.environ.get("SEQ2SEQ_KERNELS", str(cache_directory() / "kernels"))
        caches = {"XDG_CACHE_HOME": str(folder / "cache"), "SEQ2SEQ_KERNELS": kernels}
        self.environment = {**os.environ, **caches}
        start = time.monotonic()
        first_checkpoint = start
        with self._started(1) as process:  # which also fills the caches
            while process.poll() is None:
                if self._checkpoints() and first_checkpoint == start:
                    first_checkpoint = time.monotonic()
                time.sleep(0.05)
        if process.returncode:
            raise RuntimeError(f"{task} failed: {self._messages()[-2000:]}")
        self.begin, self.end = first_checkpoint - start, time.monotonic() - start
        self.expected: Mapping[str, str] = results(self.folder / "run")

    @contextlib.contextmanager
    def _started(self, workers: int) -> Iterator[subprocess.Popen[bytes]]:
        """Starts the training; it has ended with the block."""
        command = [sys.executable, "-m", "seq2seq", "launch", "--workers", str(workers), "--"]
        with (self.folder / "messages.txt").open("wb") as messages:
            process = subprocess.Popen(
                [*command, *self.command],
                cwd=self.folder,
                env=self.environment,
                stdout=messages,
                stderr=messages,
            )
            try:
                yield process
                process.wait(LONGEST)
            finally:
                if process.poll() is None:
                    for each in psutil.Process(process.pid).children():
                        each.kill()
                process.kill()
                process.wait()

    def killed(self, generator: random.Random) -> Killed:
        """Kills a worker at a random time, starts the training again, and compares the results."""
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        workers, resumed_with = generator.choice(WORKERS[1:]), generator.choice(WORKERS)
        number, is_early = generator.randrange(workers), generator.random() < EARLY
        seconds = generator.uniform(0, self.begin if is_early else self.end - self.begin)
        with self._started(workers) as process:
            end = time.monotonic() + LONGEST
            while not (is_early or self._checkpoints() or time.monotonic() > end):
                if process.poll() is not None:
                    break
                time.sleep(0.05)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            children = psutil.Process(process.pid).children() if process.poll() is None else []
            children.sort(key=lambda child: child.create_time())
            checkpoints = self._checkpoints()
            if number < len(children):
                children[number].kill()
            start = time.monotonic()
        ended_after = time.monotonic() - start
        with self._started(resumed_with) as process:
            pass
        differing = differences(self.expected, results(self.folder / "run"))
        outcome = IDENTICAL
        if process.returncode:
            outcome = f"exit code {process.returncode}: {self._messages()[-1000:]}"
        elif differing:
            outcome = f"differs: {', '.join(differing)}"
        elif ended_after > MOST_SECONDS:
            outcome = "the others have ended too late"
        return Killed(
            self.task, workers, number, round(seconds, 2), round(ended_after, 2), checkpoints,
            resumed_with, outcome,
        )  # fmt: skip

    def _checkpoints(self) -> int:
        return len(checkpoint_paths(self.folder / "run" / "checkpoints", "last"))

    def _messages(self) -> str:
        return (self.folder / "messages.txt").read_text(encoding="utf-8", errors="replace")


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this kind of trial."""
    parser.add_argument("--kills", type=int, default=50, help="in all (default %(default)s)")
    parser.add_argument("--task", choices=sorted(TASKS), action="append", help="default: all")
    parser.add_argument("--folder", type=Path, help="for the trainings; stays")
    parser.add_argument("--seed", type=int, default=1, help="of times and numbers")


def run(options: argparse.Namespace) -> int:
    """Kills trainings of each task in turn; returns how many did not end as they should."""
    generator, counts = random.Random(options.seed), Counter[str]()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="seq2seq-"))
        )
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context((folder / "worker_kills.jsonl").open("a", encoding="utf-8"))
        trials: dict[str, Trial] = {}
        tasks = options.task or list(TASKS)
        for kill in range(options.kills):
            task = tasks[kill % len(tasks)]
            if task not in trials:
                trials[task] = Trial(folder, task)
            result = trials[task].killed(generator)
            counts[result.outcome] += 1
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            print(result, flush=True)
    print(f"{sum(counts.values())} workers killed: {dict(counts)}")
    return sum(counts.values()) - counts[IDENTICAL]
