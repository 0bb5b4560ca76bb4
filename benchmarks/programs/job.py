"""What a program is told, and what it tells: JSON in its argument, JSON in its last line."""

import dataclasses
import json
import re
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.batches import Batch, load_batches, real_tokens
from benchmarks.works import Work


@dataclasses.dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        work: The model.
        batches: The file of the batches; for `many_sentences` the folder of its data.
        precision: `float32` or `bfloat16`; of searches also `COMPRESSED` and `INT8`.
        warm_up: How many steps are made before time is taken.
        started: When the process was started, in seconds since the epoch.
        learning_rate: Of Adam.
        decay: What the learning rate is multiplied with after each epoch.
        label_smoothing: Of the cross-entropy.
        seconds: For so long at least a search goes through all batches again and again.
        sentences: For `many_sentences`, how many are generated.
        steps: For `many_sentences`, how many steps are made.
        parts: For `worker`, into how many parts the rows of each batch are divided.
    """

    work: Work
    batches: str
    precision: str
    warm_up: int
    started: float
    learning_rate: float = 1e-3
    decay: float = 1.0
    label_smoothing: float = 0.0
    seconds: float = 4.0
    sentences: int = 0
    steps: int = 0
    parts: int = 1

    def to_json(self) -> str:
        """Returns the job as a program's argument."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_arguments(cls) -> "Job":
        """Reads the job that this process was started with."""
        content = json.loads(sys.argv[1])
        return cls(**{**content, "work": Work(**content["work"])})

    def load(self) -> list[Batch]:
        """Reads the batches."""
        return load_batches(Path(self.batches))


class Clock:
    """Times the steps of a training.

    Args:
        job: What is measured.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._tokens: list[int] = []
        self._ends: list[float] = []

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yields the batches, and counts their tokens."""
        for batch in batches:
            self._tokens.append(real_tokens(self._job.work, batch))
            yield batch

    def tick(self) -> None:
        """Is called at the end of each step."""
        self._ends.append(time.time())

    def figures(self) -> dict[str, float]:
        """Returns what was measured.

        Raises:
            RuntimeError: If a step was left out.
        """
        ends, warm_up = self._ends, self._job.warm_up
        if len(ends) != len(self._tokens):
            raise RuntimeError(f"{len(ends)} steps were made of {len(self._tokens)} batches")
        seconds = ends[-1] - ends[warm_up - 1]
        return {
            "tokens_per_second": sum(self._tokens[warm_up:]) / seconds,
            "milliseconds_per_step": 1000 * seconds / (len(ends) - warm_up),
            "peak_memory_mib": peak_memory(),
            "seconds_to_first_step": ends[0] - self._job.started,
        }


def peak_memory() -> float:
    """Returns the most MiB that this process had.

    Linux' `ru_maxrss` may be more: a child starts with that of the process it was made from.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    [peak] = re.findall(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="utf-8"))
    return int(peak) / 1024


def report(**values: Any) -> None:
    """Prints the result, as the last line."""
    print(json.dumps(values))
