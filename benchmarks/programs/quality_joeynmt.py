"""JoeyNMT learns to translate: `python -m benchmarks.programs.quality_joeynmt JOB`.

As in `joeynmt_luong`; the learning rate decays after each epoch.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from joeynmt.batch import Batch as JoeyBatch
from joeynmt.config import parse_global_args
from joeynmt.search import search

from benchmarks.batches import Batch
from benchmarks.programs.job import Job, report
from benchmarks.programs.joeynmt_luong import (
    THEIR_END,
    Batches,
    configuration,
    to_batch,
    train,
    translation,
    versions,
)
from benchmarks.programs.learn import LIMIT, Epochs, Tokens, epoch_paths


def main() -> None:
    """Trains epoch by epoch; after each it translates."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        settings = configuration(
            job.work,
            Path(folder),
            epochs=len(epoch_paths(job)),
            learning_rate=job.learning_rate,
            decrease_factor=job.decay,
            label_smoothing=job.label_smoothing,
        )
        options = parse_global_args(settings)
        model = translation(job.work, options)

        def translate(batch: Batch) -> Tokens:
            theirs = to_batch(batch, with_target=False)
            order = theirs.sort_by_src_length()
            longest = int(LIMIT * int(theirs.src_length[0]))
            tokens, _, _ = search(
                model.eval(), theirs, max_output_length=longest, beam_size=5, beam_alpha=1.0
            )
            return [until_end(row) for row in tokens[order]]

        epochs = Epochs(job, translate)
        train(model, options, EpochBatches(job, epochs))
    report(versions=versions(), points=epochs.points)


class EpochBatches(Batches):
    """Stands for JoeyNMT's dataset: other batches in each epoch."""

    def __init__(self, job: Job, epochs: Epochs) -> None:
        self.seed = 0
        self.batch_sampler = self
        self._epochs = epochs

    def __iter__(self) -> Iterator[JoeyBatch]:
        for batch in self._epochs.next_epoch():
            yield to_batch(batch, with_target=True)


def until_end(row: np.ndarray) -> list[int]:
    """Returns the token ids before the end."""
    ends = np.flatnonzero(row == THEIR_END)
    return [int(token) for token in row[: ends[0] if len(ends) else None]]


if __name__ == "__main__":
    main()
