"""Batches of token ids, sorted by length and padded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.progress import report

Batches = Iterator[tuple[list[int], dict[str, Any]]]
"""The numbers of the inputs of each batch, and the batch as a Keras model reads it."""


def by_length(
    numbers: Iterable[int], ids: Sequence[np.ndarray], batch_size: int, least: int = 1
) -> Iterator[list[int]]:
    """Yields batches of sequence numbers, the shortest sequences first, and reports progress.

    Args:
        numbers: The sequences to use.
        ids: All sequences.
        batch_size: The most of a batch.
        least: Shorter sequences are left out.
    """
    order = sorted((n for n in numbers if len(ids[n]) >= least), key=lambda n: len(ids[n]))
    for start in range(0, len(order), batch_size):
        report(start, len(order))
        yield order[start : start + batch_size]


def padded(ids: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns sequences as int32 `(batch, length)`, padded with 0, and their lengths `(batch,)`."""
    lengths = np.array([len(sequence) for sequence in ids], np.int32)
    batch = np.zeros((len(ids), max(1, lengths.max(initial=0))), np.int32)
    for row, sequence in enumerate(ids):
        batch[row, : len(sequence)] = sequence
    return batch, lengths


def text_batches(ids: Mapping[str, Sequence[np.ndarray]], batch_size: int) -> Batches:
    """Yields batches of inputs, sorted by the length of their first text.

    Args:
        ids: The token ids of all inputs, by the name of the text; lengths are `NAME_length`.
        batch_size: The most inputs of a batch.
    """
    first = next(iter(ids.values()))
    for numbers in by_length(range(len(first)), first, batch_size, least=0):
        batch = {}
        for name, texts in ids.items():
            batch[name], batch[f"{name}_length"] = padded([texts[i] for i in numbers])
        yield numbers, batch


def teacher_forced(
    target: np.ndarray, target_length: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns decoder inputs, labels and weights for teacher forcing.

    Args:
        target: int32 `(batch, target_length)`.
        target_length: int32 `(batch,)`.

    Returns:
        The target after the start token, and before the end token, both int32 `(batch,
        target_length + 1)`; and float32 weights of the same shape, 1 for real tokens.
    """
    inputs = np.pad(target, ((0, 0), (1, 0)), constant_values=START)
    labels = np.pad(target, ((0, 0), (0, 1)))
    labels[np.arange(len(labels)), target_length] = END
    weights = np.arange(labels.shape[1]) <= target_length[:, np.newaxis]
    return inputs, labels, weights.astype(np.float32)
