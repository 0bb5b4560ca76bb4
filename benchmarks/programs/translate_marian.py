"""Marian translates a file of token ids: `python -m benchmarks.programs.translate_marian JOB`.

Timed is `pymarian.Translator.translate`: it sorts the sentences by length, and translates two
batches of 64 at a time, each on one core. Tokenizing is not timed.
"""

from pathlib import Path

import pymarian

from benchmarks.marian import search_options
from benchmarks.programs.marian_s2s import versions
from benchmarks.programs.translate import TranslationJob, measure

LENGTH_FACTOR = 1.5


def main() -> None:
    """Translates and reports."""
    job = TranslationJob.from_arguments()
    options = search_options(Path(job.model), job.file, job.beam, LENGTH_FACTOR)
    if job.shortlist:
        options += ["--shortlist", job.shortlist, "50", "50", "0"]
    translator = pymarian.Translator(" ".join(options))
    measure(job, translator.translate, **versions())


if __name__ == "__main__":
    main()
