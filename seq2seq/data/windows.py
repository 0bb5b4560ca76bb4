"""Streams: documents read window by window, where row i of a batch continues row i before it."""

import heapq
from typing import NamedTuple

import numpy as np

from seq2seq.data.token_store import RaggedColumn
from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.errors import UserError


class Span(NamedTuple):
    """The columns of a batch's plan, an int64 array `(rows, 3)`."""

    document: int
    """The number of the document."""
    start: int
    """How many of its predictions lie before the window."""
    reset: int
    """1 where the state starts anew, else 0."""


RESET = Span._fields.index("reset")


class Windows:
    """Cuts documents into windows of some predictions each, and the windows into rows.

    A document of n tokens is n + 1 predictions: the first is made from the start token, the last is
    the end token. All windows of all documents stand in one line; each row of the batches takes its
    share of the line, in order. A row starts anew with each document and each epoch. No window
    reaches from one document into the next.

    Args:
        batch_size: Rows of a batch; where the line does not divide, the last batch has fewer.
        length: Predictions of a window: how far back gradients reach (truncated backpropagation
            through time).
        stateful: Whether a window starts from the state that the one before it has ended with; if
            not, all start from zeros.

    Raises:
        UserError: If a value is impossible.

    Example:
        >>> windows = Windows(batch_size=2, length=3)
        >>> [batch.tolist() for batch in windows.batches(np.array([10]), np.array([0]))]
        [[[0, 0, 1], [0, 6, 1]], [[0, 3, 0], [0, 9, 0]]]
    """

    def __init__(self, batch_size: int = 64, length: int = 128, stateful: bool = True) -> None:
        for key, value in {"batch_size": batch_size, "length": length}.items():
            if value < 1:
                raise UserError(f"batching.{key}={value} is below 1.")
        self.batch_size = batch_size
        self.length = length
        self.stateful = stateful

    def training_batches(
        self, lengths: np.ndarray, hashes: np.ndarray, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Returns the batches of an epoch; the documents stand in another order in each.

        Args:
            lengths: The tokens of each document, `(documents,)`.
            hashes: The content of each document, as 64 bits, `(documents,)`.
            seed: Another seed gives another order.
            epoch: Another epoch gives another order.

        Returns:
            Arrays with the columns of `Span`, each `(rows of the batch, 3)`.
        """
        order = np.argsort(hashes, kind="stable")
        np.random.default_rng([seed, epoch]).shuffle(order)
        return self.batches(lengths, order, carry=self.stateful)

    def evaluation_batches(
        self, lengths: np.ndarray, hashes: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Returns batches whose rows read whole documents: no state is lost, whatever their size.

        Args:
            lengths: The tokens of each document, `(documents,)`.
            hashes: Not needed, see `Batching.evaluation_batches`.

        Returns:
            Arrays with the columns of `Span`, each `(rows of the batch, 3)`.
        """
        rows: list[list[int]] = [[] for _ in range(min(self.batch_size, len(lengths)))]
        counts = self._count(lengths).tolist()
        sizes = [(0, row) for row in range(len(rows))]
        for document in np.argsort(-lengths, kind="stable").tolist():  # to the shortest row so far
            size, row = sizes[0]
            rows[row].append(document)
            heapq.heapreplace(sizes, (size + counts[document], row))
        lines = [self._line(lengths, np.array(row)) for row in rows]
        return _side_by_side(sorted(lines, key=len, reverse=True))

    def batches(
        self, lengths: np.ndarray, order: np.ndarray, carry: bool = True
    ) -> list[np.ndarray]:
        """Returns the batches of documents in a given order.

        Args:
            lengths: The tokens of each document, `(documents,)`.
            order: The documents, `(documents,)`.
            carry: Whether the state is carried from window to window.

        Returns:
            Arrays with the columns of `Span`, each `(rows of the batch, 3)`.
        """
        line = self._line(lengths, order)
        if not carry:
            line[:, RESET] = 1
        rows = np.array_split(line, min(self.batch_size, len(line)))  # the first are the longest
        for row in rows:
            row[0, RESET] = 1
        return _side_by_side(rows)

    def _line(self, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Returns the windows of documents one behind the other, `(windows, 3)`."""
        counts = self._count(lengths[order])
        documents = np.repeat(order, counts)
        firsts = np.repeat(np.cumsum(counts) - counts, counts)
        starts = (np.arange(len(documents)) - firsts) * self.length
        return np.stack([documents, starts, starts == 0], axis=1)

    def _count(self, lengths: np.ndarray) -> np.ndarray:
        """Returns the windows of documents of some lengths."""
        return -(-(lengths.astype(np.int64) + 1) // self.length)

    def count(self, lengths: np.ndarray, batch: np.ndarray) -> int:
        """Returns the predictions of a batch, end tokens included."""
        documents, starts, _ = batch.T
        return int(np.minimum(lengths[documents] + 1 - starts, self.length).sum())

    def read(
        self, column: RaggedColumn, batch: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Returns the batch of a plan.

        Args:
            column: The tokens of all documents.
            batch: As `batches` returns it.

        Returns:
            Inputs (`tokens`, int32 `(rows, steps)`, and `reset`, bool `(rows,)`), labels, int32
            `(rows, steps)`, and weights, float32 of the same shape, 0 behind the document's end.
        """
        documents, starts, reset = batch.T
        begins, ends = column.offsets[documents], column.offsets[documents + 1]
        left = ends - begins + 1 - starts
        steps = np.arange(min(self.length, left.max()))
        places = (begins + starts)[:, None] + steps  # of the labels
        real = steps < left[:, None]
        last = len(column.tokens) - 1
        labels = np.where(places == ends[:, None], END, column.tokens[np.minimum(places, last)])
        tokens = np.where(
            places == begins[:, None], START, column.tokens[np.clip(places - 1, 0, last)]
        )
        inputs = {"tokens": np.where(real, tokens, 0).astype(np.int32), "reset": reset == 1}
        return inputs, np.where(real, labels, 0).astype(np.int32), real.astype(np.float32)


def _side_by_side(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the batches that read some rows, the longest first, step by step."""
    return [
        np.stack([row[step] for row in rows if step < len(row)]) for step in range(len(rows[0]))
    ]
