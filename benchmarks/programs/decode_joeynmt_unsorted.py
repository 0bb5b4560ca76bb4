"""`decode_joeynmt` on unsorted sentences: `python -m benchmarks.programs.NAME JOB`.

JoeyNMT translates a file in batches of neighbouring lines, whatever their lengths; so the job's
sentences are shuffled and batched anew.
"""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.batches import Batch, batch_of, save_batches
from benchmarks.programs.decode_joeynmt import run
from benchmarks.programs.job import Job


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "batches.npz")
        save_batches(shuffled(job), path)
        run(dataclasses.replace(job, batches=str(path)))


def shuffled(job: Job) -> list[Batch]:
    """Returns the job's sentences in a random order, in batches of the same size."""
    sources = [
        row[:length]
        for batch in job.load()
        for row, length in zip(batch["source"], batch["source_length"], strict=True)
    ]
    order = np.random.default_rng(1).permutation(len(sources))
    size = job.work.batch_size
    chosen = [[sources[i] for i in order[at : at + size]] for at in range(0, len(order), size)]
    return [batch_of(job.work, rows, rows) for rows in chosen]


if __name__ == "__main__":
    main()
