"""Documents cut into windows: row i of a batch continues row i of the batch before."""

import heapq
from typing import NamedTuple

import numpy as np

from seq2seq.data.token_store import RaggedColumn
from seq2seq.data.tokenizers.tokenizer import END, START
from seq2seq.errors import UserError


class Window(NamedTuple):
    """The columns of a batch of windows, an int64 array `(rows, 3)`."""

    document: int
    """The number of the document."""
    start: int
    """The number of its predictions before the window."""
    reset: int
    """1 where the state is reset, else 0."""


RESET = Window._fields.index("reset")


class Windows:
    """Cuts documents into windows for truncated backpropagation through time.

    A document of n tokens has n + 1 predictions: the first is made from the start token, the last
    one is the end token. The windows of all documents are concatenated, and each row of the batches
    gets a contiguous part. The state is reset at the start of each document and each epoch. No
    window spans two documents.

    Args:
        batch_size: Rows of a batch; the last batches may have fewer.
        length: Predictions of a window: how far back gradients reach.
        stateful: Whether a window starts from the last state of the window before it; if not, from
            zeros.

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
        """Returns the batches of an epoch; each epoch has another order of the documents.

        Args:
            lengths: The number of tokens of each document, `(documents,)`.
            hashes: A hash of each document's content, `(documents,)`.
            seed: Determines the order, together with the epoch.
            epoch: The epoch.

        Returns:
            Arrays with the columns of `Window`, each `(rows of the batch, 3)`.
        """
        order = np.argsort(hashes, kind="stable")
        np.random.default_rng([seed, epoch]).shuffle(order)
        return self.batches(lengths, order, carry=self.stateful)

    def whole_documents(self, lengths: np.ndarray) -> list[np.ndarray]:
        """Returns batches whose rows hold whole documents, so that every state is carried.

        Arguments and result are those of `batches`.
        """
        rows: list[list[int]] = [[] for _ in range(min(self.batch_size, len(lengths)))]
        counts = self._count(lengths).tolist()
        sizes = [(0, row) for row in range(len(rows))]
        for document in np.argsort(-lengths, kind="stable").tolist():  # to the shortest row so far
            size, row = sizes[0]
            rows[row].append(document)
            heapq.heapreplace(sizes, (size + counts[document], row))
        windows = [self._windows(lengths, np.array(row)) for row in rows]
        return _as_batches(sorted(windows, key=len, reverse=True))

    def batches(
        self, lengths: np.ndarray, order: np.ndarray, carry: bool = True
    ) -> list[np.ndarray]:
        """Returns the batches of documents in a given order.

        Args:
            lengths: The number of tokens of each document, `(documents,)`.
            order: The documents, `(documents,)`.
            carry: Whether the state is carried from window to window.

        Returns:
            Arrays with the columns of `Window`, each `(rows of the batch, 3)`.
        """
        windows = self._windows(lengths, order)
        if not carry:
            windows[:, RESET] = 1
        rows = np.array_split(windows, min(self.batch_size, len(windows)))  # longest rows first
        for row in rows:
            row[0, RESET] = 1
        return _as_batches(rows)

    def _windows(self, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Returns the windows of documents, one after the other, `(windows, 3)`."""
        counts = self._count(lengths[order])
        documents = np.repeat(order, counts)
        firsts = np.repeat(np.cumsum(counts) - counts, counts)
        starts = (np.arange(len(documents)) - firsts) * self.length
        return np.stack([documents, starts, starts == 0], axis=1)

    def _count(self, lengths: np.ndarray) -> np.ndarray:
        """Returns the number of windows of each document."""
        return -(-(lengths.astype(np.int64) + 1) // self.length)

    def count(self, lengths: np.ndarray, batch: np.ndarray) -> int:
        """Returns the number of predictions of a batch, end tokens included."""
        documents, starts, _ = batch.T
        return int(np.minimum(lengths[documents] + 1 - starts, self.length).sum())

    def read(
        self, column: RaggedColumn, batch: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Returns the tokens of a batch of windows.

        Args:
            column: The tokens of all documents.
            batch: The windows, `(rows, 3)`.

        Returns:
            Inputs (`tokens`, int32 `(rows, steps)`, and `reset`, bool `(rows,)`), labels, int32
            `(rows, steps)`, and weights, float32 `(rows, steps)`, 0 after the document's end.
        """
        documents, starts, reset = batch.T
        begins, ends = column.offsets[documents], column.offsets[documents + 1]
        remaining = ends - begins + 1 - starts
        steps = np.arange(min(self.length, remaining.max()))
        places = (begins + starts)[:, None] + steps  # of the labels
        real = steps < remaining[:, None]
        last = len(column.tokens) - 1
        labels = np.where(places == ends[:, None], END, column.tokens[np.minimum(places, last)])
        tokens = np.where(
            places == begins[:, None], START, column.tokens[np.clip(places - 1, 0, last)]
        )
        inputs = {"tokens": np.where(real, tokens, 0).astype(np.int32), "reset": reset == 1}
        return inputs, np.where(real, labels, 0).astype(np.int32), real.astype(np.float32)


def _as_batches(rows: list[np.ndarray]) -> list[np.ndarray]:
    """Returns batch i as window i of each row that has one; the longest rows come first."""
    return [
        np.stack([row[step] for row in rows if step < len(row)]) for step in range(len(rows[0]))
    ]
