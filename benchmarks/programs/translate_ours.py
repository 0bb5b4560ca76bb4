"""A run translates a file: `python -m benchmarks.programs.translate_ours JOB`.

Timed is what `seq2seq predict` does between reading and writing: tokenizing, searching in batches
of 64, and making text. The first pass over the file traces the graphs, and counts as loading.
"""

from benchmarks.programs.translate import TranslationJob, measure
from seq2seq.commands._start_tensorflow import start_tensorflow

start_tensorflow()  # first, as `seq2seq predict` does

import tensorflow as tf

from seq2seq.inference.predictor import Predictor


def main() -> None:
    """Translates and reports."""
    job = TranslationJob.from_arguments()
    predictor = Predictor.load(job.model)
    search = (
        {"decoding": "greedy"} if job.beam == 1 else {"decoding": "beam", "beam_size": job.beam}
    )

    def translate(lines: list[str]) -> list[str]:
        return [str(row["prediction"]) for row in predictor(lines, **search)]

    measure(job, translate, tensorflow=tf.__version__)


if __name__ == "__main__":
    main()
