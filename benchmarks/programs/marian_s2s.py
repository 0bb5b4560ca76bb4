"""Marian's recurrent model and trainer: `python -m benchmarks.programs.marian_s2s JOB`.

Timed is Marian's own command, from the line in its log of one update to that of another. It gets
the job's batches in their order, and shares the rows of each among its threads (synchronous SGD).
Its model is not that of the work: the encoder has twice the units, the attention is Bahdanau's,
the output layer reads a projection as wide as the embeddings, the decoder starts from the mean of
the encoder's outputs; there is no dropout.
"""

import importlib.metadata
import resource
import tempfile
from pathlib import Path

from benchmarks.batches import PAD, Batch
from benchmarks.marian import (
    UPDATE,
    Settings,
    lines_of,
    to_lines,
    training_options,
    write_lines,
    write_vocabulary,
)
from benchmarks.programs.job import Clock, Job, report
from benchmarks.works import Work


def main() -> None:
    """Trains and reports."""
    job = Job.from_arguments()
    batches, clock = job.load(), Clock(job)
    watched = clock.watch(batches)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(job.work, batches, folder)
        options = [
            *training_options(Settings.of(job.work), folder, job.work.vocabulary),
            *("--shuffle", "none", "--maxi-batch", "1", "--maxi-batch-sort", "none"),
            *("--disp-freq", "1u", "--after", f"{len(batches)}u", "--overwrite"),
        ]
        for line in lines_of(["train", *options]):
            if UPDATE in line:
                next(watched)
                clock.tick()
                last = line
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report(versions=versions(), loss=loss(last), **{**clock.figures(), "peak_memory_mib": peak})


def prepare(work: Work, batches: list[Batch], folder: Path) -> None:
    """Writes the vocabulary, and the sentences of all batches.

    Raises:
        RuntimeError: If Marian has no such model.
    """
    if not (work.task == "translation" and work.attention):
        raise RuntimeError("Marian's recurrent model is for translation with attention")
    write_vocabulary(folder, work.outputs)
    write_lines(folder / "train.source", to_lines(sources(batches)))
    targets = (row[row != PAD][1:].tolist() for batch in batches for row in batch["target"])
    write_lines(folder / "train.target", to_lines(targets))


def sources(batches: list[Batch]) -> list[list[int]]:
    """Returns the token ids of the sources of all batches."""
    return [row[row != PAD].tolist() for batch in batches for row in batch["source"]]


def loss(line: str) -> float:
    """Returns the loss of the log's line of an update."""
    return float(line.partition("Cost ")[2].partition(" ")[0])


def versions() -> dict[str, str]:
    """Returns the library's version."""
    return {"marian": importlib.metadata.version("pymarian")}


if __name__ == "__main__":
    main()
