"""What programs that learn to translate have in common: the batches of their epochs, the clock.

The batches of a job are a folder: `epoch_00.npz` and so on, and `translated.npz`, whose sources
are translated after each epoch.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.batches import Batch, load_batches
from benchmarks.programs.job import Job

LIMIT = 1.5
"""Tokens of the longest translation for each of its source."""

Tokens = list[list[int]]


class Epochs:
    """The epochs of a training, and what the model translates after each.

    Args:
        job: The job.
        translate: Returns the token ids of the translations of a batch; not timed.
    """

    def __init__(self, job: Job, translate: Callable[[Batch], Tokens]) -> None:
        self.paths = epoch_paths(job)
        self.points: list[dict[str, float | Tokens]] = []
        self._translate = translate
        self._translated = load_batches(Path(job.batches, "translated.npz"))
        self._seconds = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of all epochs."""
        for _ in self.paths:
            yield from self.next_epoch()

    def next_epoch(self) -> Iterator[Batch]:
        """Yields the batches of the next epoch; after the last of them it translates."""
        path = self.paths[len(self.points)]
        start = time.perf_counter()
        yield from load_batches(path)
        self._seconds += time.perf_counter() - start
        tokens = [row for batch in self._translated for row in self._translate(batch)]
        self.points.append({"training_seconds": self._seconds, "tokens": tokens})
        print(f"{path.stem}: {self._seconds:.0f} s", file=sys.stderr, flush=True)


def epoch_paths(job: Job) -> list[Path]:
    """Returns the files of the epochs of a job."""
    return sorted(Path(job.batches).glob("epoch_*.npz"))
