"""JoeyNMT's search: `python -m benchmarks.programs.decode_joeynmt JOB`.

Timed is what `joeynmt.prediction.predict` does with a batch: making and sorting the `Batch`, and
`joeynmt.search.search`. Turning tokens into text is not timed. Every hypothesis is as long as its
source: up to there JoeyNMT's `min_output_length` forbids the end, then its prompt forces it (its
greedy search knows no prompt, and goes on to the batch's longest source anyway).
"""

from pathlib import Path

import numpy as np
import torch
from joeynmt.config import parse_global_args
from joeynmt.model import Model
from joeynmt.search import search

from benchmarks.batches import Batch
from benchmarks.programs.decode import Decode, measure
from benchmarks.programs.job import Job
from benchmarks.programs.joeynmt_luong import (
    THEIR_END,
    configuration,
    to_batch,
    translation,
    versions,
)


def main() -> None:
    """Decodes and reports."""
    run(Job.from_arguments())


def run(job: Job) -> None:
    """Decodes a job's batches and reports."""
    torch.manual_seed(1)
    options = parse_global_args(configuration(job.work, Path()))
    model = translation(job.work, options).eval()
    greedy, beam = decoder(model, beam_size=1), decoder(model, beam_size=5)
    measure(job, {"greedy": greedy, "beam_5": beam}, greedy, **versions())


def decoder(model: Model, beam_size: int) -> Decode:
    """Returns what translates a batch."""

    def decode(batch: Batch) -> np.ndarray:
        theirs = to_batch(batch, with_target=False)
        order = theirs.sort_by_src_length()
        longest = int(theirs.src_length[0])
        end = torch.nn.functional.one_hot(theirs.src_length + 1, longest + 2)
        tokens, _, _ = search(
            model,
            theirs,
            max_output_length=longest + 1,
            beam_size=beam_size,
            beam_alpha=1.0,
            min_output_length=longest,
            decoder_prompt=THEIR_END * end,
            trg_prompt_mask=end,
        )
        return tokens[order]

    return decode


if __name__ == "__main__":
    main()
