"""The batches that all programs of a work train on: made once, kept in one file.

A batch is a dict of int32 arrays: `source` `(batch, source_length)`, `source_length` `(batch,)`,
for translation `target` `(batch, target_length)` (the decoder's inputs), and `labels`, which has
the shape of `target` (translation), of `source` (tagging, generation) or `(batch,)`
(classification). Tokens
and labels are never 0: that is padding.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.works import Work

Batch = dict[str, np.ndarray]
Rows = list[np.ndarray]

PAD = 0
START, END, SPECIAL_IDS = 2, 3, 4
LENGTHS = Path(__file__).parent / "multi30k_lengths.csv"
MULTI30K = "multi30k_en_de/tok/train.lc.norm.tok"


def make_batches(work: Work, count: int, seed: int = 0) -> list[Batch]:
    """Makes the first batches of an epoch.

    Multi30k's own sentences where they are, otherwise random tokens in rows of the same lengths.
    """
    from seq2seq.data.batching import Batching

    sources, targets = _rows(work, count, seed)
    lengths = np.array([[len(s), len(t)] for s, t in zip(sources, targets, strict=True)])
    if work.task != "translation":
        lengths = lengths[:, :1]
    order = np.arange(len(sources), dtype=np.uint64)
    chosen = Batching(work.batch_size).training_batches(lengths, order, seed, epoch=0)
    full = [rows for rows in chosen if len(rows) == work.batch_size]
    return [
        batch_of(work, [sources[row] for row in rows], [targets[row] for row in rows])
        for rows in full[:count]
    ]


def batch_of(work: Work, sources: Rows, targets: Rows) -> Batch:
    """Makes the batch of some rows of token ids, without start and end."""
    source = _padded(sources)
    batch = {"source": source, "source_length": np.array([len(s) for s in sources], np.int32)}
    if work.task == "translation":
        batch["target"] = _padded([np.r_[START, target] for target in targets])
        batch["labels"] = _padded([np.r_[target, END] for target in targets])
    elif work.task == "tagging":
        batch["labels"] = np.where(source != PAD, 1 + source % (work.outputs - 1), PAD)
    elif work.task == "generation":
        batch["labels"] = np.roll(source, -1, axis=1)
    else:
        batch["labels"] = 1 + source.sum(axis=1, dtype=np.int32) % (work.outputs - 1)
    return batch


def data_folder() -> Path:
    """Returns the folder of the real data."""
    return Path(os.environ.get("SEQ2SEQ_DATA", Path(__file__).parents[2] / "shared" / "data"))


def multi30k_lengths() -> np.ndarray:
    """Returns the tokens of each source and target, `(29,000, 2)`."""
    table = np.loadtxt(LENGTHS, delimiter=",", skiprows=1, dtype=np.int64)
    return np.repeat(table[:, :2], table[:, 2], axis=0)


def draw_tokens(random: np.random.Generator, count: int, vocabulary: int) -> np.ndarray:
    """Draws int32 tokens by Zipf's law: id `n` about `1 / n` as often as id 1."""
    drawn = (vocabulary - SPECIAL_IDS) ** random.random(count)
    return SPECIAL_IDS - 1 + drawn.astype(np.int32)


def real_tokens(work: Work, batch: Batch) -> int:
    """Returns the tokens of a batch that are counted: labels, or the source where it has one."""
    if work.task == "classification":
        return int(batch["source_length"].sum())
    return int(np.count_nonzero(batch["labels"]))


def padding(batches: Sequence[Batch]) -> float:
    """Returns the share of padding among all cells, source and target together."""
    sides = [batch[side] for batch in batches for side in ("source", "target") if side in batch]
    return 1 - sum(map(np.count_nonzero, sides)) / sum(side.size for side in sides)


def save_batches(batches: Sequence[Batch], path: Path) -> None:
    """Writes batches as one `.npz` file."""
    arrays = {f"{i}/{name}": a for i, batch in enumerate(batches) for name, a in batch.items()}
    np.savez(path, **arrays)


def load_batches(path: Path) -> list[Batch]:
    """Reads what `save_batches` wrote."""
    batches: dict[int, Batch] = {}
    with np.load(path) as file:
        for key, array in file.items():
            number, name = key.split("/")
            batches.setdefault(int(number), {})[name] = array
    return [batches[number] for number in sorted(batches)]


def _rows(work: Work, count: int, seed: int) -> tuple[Rows, Rows]:
    """Returns the token ids of sources and targets, without start and end."""
    folder = data_folder()
    if work.is_padded and (folder / f"{MULTI30K}.en").exists():
        return _sentences(folder, work.vocabulary)
    random = np.random.default_rng(seed)
    if work.length is not None:
        # A target ends with the end token, so that its labels are as many.
        lengths = np.tile([work.length, work.length - 1], (count * work.batch_size, 1))
    else:
        lengths = multi30k_lengths()
    sources, targets = (
        [draw_tokens(random, length, work.vocabulary) for length in side] for side in lengths.T
    )
    return sources, targets


def _sentences(folder: Path, vocabulary: int) -> tuple[Rows, Rows]:
    """Tokenises Multi30k, with one vocabulary for both sides."""
    from seq2seq.data.formats.text_files import read_lines
    from seq2seq.data.tokenizers.tokenizer import Tokenizer, TokenizerPair

    english, german = (list(read_lines(folder / f"{MULTI30K}.{side}")) for side in ("en", "de"))
    tokenizer = Tokenizer("bpe", vocabulary)
    pair = TokenizerPair(tokenizer, tokenizer, joint=True).fit(english, german)
    return pair.source.encode(english), pair.target.encode(german)


def _padded(rows: Rows) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows))), PAD, np.int32)
    for cells, row in zip(padded, rows, strict=True):
        cells[: len(row)] = row
    return padded
