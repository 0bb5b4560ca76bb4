"""JoeyNMT's search: `python -m benchmarks.programs.decode_joeynmt JOB`.

Timed is what `joeynmt.prediction.predict` does with a batch: making and sorting the `Batch`, and
`joeynmt.search.search` with the options `beam_size`, `beam_alpha`, `min_output_length` and
`max_output_length`. Turning tokens into text is not timed.
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
from benchmarks.programs.joeynmt_luong import configuration, to_batch, translation, versions


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    torch.manual_seed(1)
    options = parse_global_args(configuration(job.work, Path()))
    model = translation(job.work, options).eval()
    greedy, beam = decoder(model, beam_size=1), decoder(model, beam_size=5)
    measure(job, {"greedy": greedy, "beam_5": beam}, greedy, **versions())


def decoder(model: Model, beam_size: int) -> Decode:
    """Returns what translates a batch: all its rows as long as its longest source, and the end."""

    def decode(batch: Batch) -> np.ndarray:
        theirs = to_batch(batch, with_target=False)
        order = theirs.sort_by_src_length()
        longest = int(theirs.src_length[0])
        tokens, _, _ = search(
            model,
            theirs,
            max_output_length=longest + 1,
            beam_size=beam_size,
            beam_alpha=1.0,
            min_output_length=longest,
        )
        return tokens[order]

    return decode


if __name__ == "__main__":
    main()
