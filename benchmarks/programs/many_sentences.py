"""Our way from records to steps, for any number of sentences, which are generated on the fly.

`python -m benchmarks.programs.many_sentences JOB`. The records go through `TokenStore` and
`Batching`, as those of a recipe; a token is the character with its number.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.batches import Batch, batch_of, draw_tokens, multi30k_lengths
from benchmarks.programs.ours import to_example, trained_model
from benchmarks.programs.tensorflow_fit import begin, train
from benchmarks.works import Work
from seq2seq.data.batching import Batching
from seq2seq.data.token_store import ColumnSpec, TokenStore, build

CHUNK = 10_000
SIDES = ("source", "target")


def main() -> None:
    """Trains a few steps on a shuffled epoch of all sentences, and reports."""
    job = begin()
    columns = {side: ColumnSpec(side, Characters()) for side in SIDES}
    build(records(job.work, job.sentences), columns, Path(job.batches))
    store = TokenStore(Path(job.batches))
    batching = Batching(job.work.batch_size)
    rows = batching.training_batches(store.lengths, store.hashes, seed=0, epoch=0)
    batches = (batch(job.work, store, chosen) for chosen in rows[: job.steps])
    train(job, trained_model(job.work), batches, to_example)


class Characters:
    """Encodes each character as its code point."""

    fingerprint = "characters"

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Returns the ids of each text."""
        return [np.frombuffer(text.encode("utf-32-le"), np.int32) for text in texts]


def records(work: Work, sentences: int) -> Iterator[dict[str, str]]:
    """Yields sentences of random tokens, as long as Multi30k's."""
    random = np.random.default_rng(0)
    lengths = multi30k_lengths()
    for start in range(0, sentences, CHUNK):
        chosen = lengths[random.integers(len(lengths), size=min(CHUNK, sentences - start))]
        ends = np.cumsum(chosen, axis=0)
        texts = [
            draw_tokens(random, total, work.vocabulary).tobytes().decode("utf-32-le")
            for total in ends[-1]
        ]
        for end, length in zip(ends, chosen, strict=True):
            yield {
                side: text[stop - size : stop]
                for side, text, stop, size in zip(SIDES, texts, end, length, strict=True)
            }


def batch(work: Work, store: TokenStore, rows: np.ndarray) -> Batch:
    """Reads the rows of a batch."""
    sides = []
    for side in SIDES:
        padded, lengths = store.padded(side, rows)
        sides.append([ids[:length] for ids, length in zip(padded, lengths, strict=True)])
    return batch_of(work, *sides)


if __name__ == "__main__":
    main()
