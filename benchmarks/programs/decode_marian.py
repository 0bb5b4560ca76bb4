"""Marian's search: `python -m benchmarks.programs.decode_marian JOB`.

Timed is `pymarian.Translator.translate` of all sentences at once: Marian makes batches of 64 of
about one length and translates two of them at a time, each on one core; a sentence alone has one
thread. Reading and writing text is timed, too, loading is not. Weights are random, with a bias
that forbids the end; so every hypothesis is as long as its batch's longest source. With `int8`
weights are quantized by Marian's `convert`, and the products of `intgemm` use 8 bits.
"""

import tempfile
from pathlib import Path

import numpy as np
import pymarian

from benchmarks.batches import Batch
from benchmarks.marian import (
    MODEL,
    Settings,
    convert,
    run,
    search_options,
    to_lines,
    training_options,
)
from benchmarks.programs.decode import INT8, NEVER, Decode, measure
from benchmarks.programs.job import Job
from benchmarks.programs.marian_s2s import prepare, sources, versions

OUTPUT_BIAS = "decoder_ff_logit_l2_b"


def main() -> None:
    """Decodes and reports."""
    job = Job.from_arguments()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_untrained(job, folder)
        model = MODEL
        if job.precision == INT8:
            model = "model.int8.bin"
            convert(folder, model)
        searches = {
            name: decoder(search_options(folder, model, beam, length_factor=1.0))
            for name, beam in (("greedy", 1), ("beam_5", 5))
        }
        alone = decoder(search_options(folder, model, beam=1, length_factor=1.0, threads=1))
        measure(job, searches, alone, at_once=True, **versions())


def save_untrained(job: Job, folder: Path) -> None:
    """Saves the model after a single update, with an end that is never chosen."""
    [batch, *_] = job.load()
    few = {name: array[:2] for name, array in batch.items()}
    prepare(job.work, [few], folder)
    options = training_options(Settings.of(job.work), folder, job.work.vocabulary)
    run(["train", *options, "--after", "1u", "--overwrite"])
    with np.load(folder / MODEL) as saved:
        arrays = dict(saved)
    arrays[OUTPUT_BIAS][0, 0] = NEVER
    np.savez(folder / MODEL, **arrays)


def decoder(options: list[str]) -> Decode:
    """Returns what translates sentences."""
    translator = pymarian.Translator(" ".join(options))

    def decode(batch: Batch) -> list[str]:
        return translator.translate(to_lines(sources([batch])))

    return decode


if __name__ == "__main__":
    main()
