"""What all decoding programs have in common: sentences, limits, clocks."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.batches import Batch
from benchmarks.programs.job import Job, report

SINGLE = 25
COMPRESSED = "compressed"
"""A precision: float32, with weights as `seq2seq compress` leaves them."""
INT8 = "int8"
"""A precision: bfloat16, but the decoder's products in 8 bits."""
INT8_SHORTLIST = "int8_shortlist"
"""The same, of the target tokens that `decoding.shortlist=500` selects."""
NEVER = -1e9
"""Bias of the end token: every hypothesis is as long as its source, in all programs."""

Decode = Callable[[Batch], Any]


def measure(
    job: Job,
    searches: dict[str, Decode],
    alone: Decode,
    *,
    at_once: bool = False,
    **versions: str,
) -> None:
    """Times searches over all batches for some seconds, and one sentence by sentence; reports.

    Args:
        job: The job; its batches are sorted by length.
        searches: By name.
        alone: What sentences are decoded with one by one.
        at_once: Whether a search gets all sentences in one call, and makes its own batches.
        versions: Of the program's libraries.
    """
    singles = one_by_one(job.load())
    batches = [joined(job.load())] if at_once else job.load()
    found: dict[str, float] = {}
    for name, decode in searches.items():
        decode(batches[0])
        sentences, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < job.seconds:
            for batch in batches:
                decode(batch)
                sentences += len(batch["source"])
        found[name] = sentences / seconds
    alone(singles[0])
    times = []
    for batch in singles:
        start = time.perf_counter()
        alone(batch)
        times.append(time.perf_counter() - start)
    found["milliseconds_alone"] = 1000 * statistics.median(times)
    report(versions=versions, **found)


def joined(batches: Sequence[Batch]) -> Batch:
    """Returns the sources of all batches as one batch."""
    longest = max(batch["source"].shape[1] for batch in batches)
    sources = (batch["source"] for batch in batches)
    padded = [np.pad(each, ((0, 0), (0, longest - each.shape[1]))) for each in sources]
    return {
        "source": np.concatenate(padded),
        "source_length": np.concatenate([batch["source_length"] for batch in batches]),
    }


def one_by_one(batches: Sequence[Batch]) -> list[Batch]:
    """Returns some sentences of all lengths, each as a batch."""
    rows = [
        {"source": batch["source"][row : row + 1, :length], "source_length": length.reshape(1)}
        for batch in batches
        for row, length in enumerate(batch["source_length"])
    ]
    return rows[:: max(1, len(rows) // SINGLE)][:SINGLE]
