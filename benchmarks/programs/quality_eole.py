"""EOLE learns to translate: `python -m benchmarks.programs.quality_eole JOB`.

As in `eole_luong`; the learning rate decays after each epoch.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.batches import Batch, load_batches
from benchmarks.programs.decode_eole import translator
from benchmarks.programs.eole_luong import to_batch, train, trainer_of, translation, versions
from benchmarks.programs.job import Job, report
from benchmarks.programs.learn import LIMIT, Epochs, Tokens, epoch_paths

THEIR_END = 3


def main() -> None:
    """Trains epoch by epoch; after each it translates."""
    job = Job.from_arguments()
    steps = len(load_batches(epoch_paths(job)[0]))
    model, vocabularies, config = translation(
        job.work,
        learning_rate=job.learning_rate,
        learning_rate_decay=job.decay,
        start_decay_steps=steps,
        decay_steps=steps,
        label_smoothing=job.label_smoothing,
    )
    search = translator(model, vocabularies, config, beam_size=5)

    def translate(batch: Batch) -> Tokens:
        search.max_length = int(LIMIT * int(batch["source_length"].max()))
        search.max_length_ratio = 0
        model.eval()
        sources = {name: batch[name] for name in ("source", "source_length")}
        predictions = search.predict_batch(to_batch(sources), attn_debug=False)["predictions"]
        model.train()
        return [until_end(best) for best, *_ in predictions]

    epochs = Epochs(job, translate)

    def batches() -> Iterator[tuple[dict[str, Any], int]]:
        for batch in epochs:
            yield to_batch(batch), 0

    train(trainer_of(model, vocabularies, config), batches())
    report(versions=versions(), points=epochs.points)


def until_end(row: torch.Tensor) -> list[int]:
    """Returns the token ids before the end."""
    ends = np.flatnonzero(row.numpy() == THEIR_END)
    return [int(token) for token in row[: ends[0] if len(ends) else None]]


if __name__ == "__main__":
    main()
