"""Batches of token ids, of similar lengths."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from seq2seq.data.tokenizers.tokenizer import END, START


def by_length(
    numbers: Iterable[int], ids: Sequence[np.ndarray], batch_size: int, least: int = 1
) -> Iterator[list[int]]:
    """Yields batches of numbers, the shortest first.

    Args:
        numbers: Which of the sequences.
        ids: The sequences.
        batch_size: The most of a batch.
        least: Shorter ones are left out.
    """
    order = sorted((n for n in numbers if len(ids[n]) >= least), key=lambda n: len(ids[n]))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def padded(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns sequences as int32 `(batch, length)`, filled with 0, and their lengths `(batch,)`."""
    lengths = np.array([len(row) for row in ids], np.int32)
    together = np.zeros((len(ids), max(1, lengths.max(initial=0))), np.int32)
    for row, each in enumerate(ids):
        together[row, : len(each)] = each
    return together, lengths


def teacher_forced(
    target: np.ndarray, target_length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns what a decoder reads, what it is to say, and the weights of that.

    Args:
        target: int32 `(batch, target_length)`.
        target_length: int32 `(batch,)`.

    Returns:
        The target behind the start token, and before the end token, both int32 `(batch,
        target_length + 1)`; and float32 weights of the same shape, 1 for what is real.
    """
    inputs = np.pad(target, ((0, 0), (1, 0)), constant_values=START)
    labels = np.pad(target, ((0, 0), (0, 1)))
    labels[np.arange(len(labels)), target_length] = END
    weights = np.arange(labels.shape[1]) <= target_length[:, np.newaxis]
    return inputs, labels, weights.astype(np.float32)
