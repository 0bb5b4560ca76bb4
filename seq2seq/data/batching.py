"""Bucketing by length: batches as a pure function of the content of the data, seed and epoch.

The order in which the rows are stored is irrelevant: the same records from text files and from a
shuffled TFDS folder give the same batches.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seq2seq.errors import UserError

_UNITS = ("sentences", "tokens")
_BATCHES_AHEAD = 8


class Batching:
    """Batches of rows of similar length.

    For training, all rows are shuffled and cut into pools; each pool is sorted by length and cut
    into batches; then the batches are shuffled. The larger the pool, the less padding.

    Args:
        batch_size: The size of a batch, in units.
        unit: `sentences` (rows), or `tokens`: all cells of the padded arrays, source and target
            together.
        pool_size: How many rows are sorted together.
        maximum_length: The longest row that is trained on, by column, such as `{"source": 100}`;
            `None` keeps all.

    Raises:
        UserError: If a value is impossible.

    Example:
        >>> batching = Batching(batch_size=64)
        >>> batches = batching.training_batches(store.lengths, store.hashes, seed=0, epoch=3)
        >>> ids, lengths = store.padded("source", batches[0])
    """

    def __init__(
        self,
        batch_size: int = 64,
        unit: str = "sentences",
        pool_size: int = 50_000,
        maximum_length: Mapping[str, int | None] | None = None,
    ) -> None:
        if unit not in _UNITS:
            raise UserError(f"batching.unit={unit} is not one of {', '.join(_UNITS)}.")
        limits = {
            f"maximum_length.{column}": limit
            for column, limit in (maximum_length or {}).items()
            if limit is not None
        }
        for key, value in {"batch_size": batch_size, "pool_size": pool_size, **limits}.items():
            if value < 1:
                raise UserError(f"batching.{key}={value} is below 1.")
        self.batch_size = batch_size
        self.unit = unit
        self.pool_size = pool_size
        self.maximum_length = dict(maximum_length or {})

    def training_batches(
        self, lengths: np.ndarray, hashes: np.ndarray, seed: int, epoch: int
    ) -> list[np.ndarray]:
        """Returns the batches of an epoch; every row is in one of them.

        Args:
            lengths: The length of each row in each column, `(rows, columns)`; the last column
                (the target) is sorted by first.
            hashes: A hash of each row's content, `(rows,)`.
            seed: Determines the order, together with the epoch.
            epoch: The epoch.

        Returns:
            Arrays of row indices, each `(rows in the batch,)`.
        """
        random = np.random.default_rng([seed, epoch])
        order = np.argsort(hashes, kind="stable")
        random.shuffle(order)
        pool_size = self.pool_size
        if self.unit == "sentences":
            # Whole batches, or each pool would leave a small one.
            pool_size = max(pool_size // self.batch_size, 1) * self.batch_size
        for start in range(0, len(order), pool_size):
            pool = order[start : start + pool_size]
            pool[:] = _sorted_by_length(lengths, pool)
        batches = self._cut(order, lengths)
        return [batches[index] for index in random.permutation(len(batches))]

    def evaluation_batches(self, lengths: np.ndarray, hashes: np.ndarray) -> list[np.ndarray]:
        """Returns batches with every row once, from short to long; see `training_batches`."""
        order = np.argsort(hashes, kind="stable")
        return self._cut(_sorted_by_length(lengths, order), lengths)

    def _cut(self, order: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        if self.unit == "sentences":
            starts = np.arange(self.batch_size, len(order), self.batch_size)
        else:
            starts = np.fromiter(self._token_starts(lengths[order]), dtype=np.int64)
        return np.split(order, starts) if len(order) else []

    def _token_starts(self, lengths: np.ndarray) -> Iterator[int]:
        """Yields where a new batch starts; a row with too many tokens is a batch of its own."""
        start = 0
        while start < len(lengths):
            # At most this many rows fit: none can be padded to less than the first one.
            window = self.batch_size // max(int(lengths[start].sum()), 1) + 1
            longest = np.maximum.accumulate(lengths[start : start + window], axis=0)
            padded = longest.sum(axis=1, dtype=np.int64) * np.arange(1, len(longest) + 1)
            start += max(int(np.searchsorted(padded, self.batch_size, side="right")), 1)
            if start < len(lengths):
                yield start


def _sorted_by_length(lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns `order`, sorted by the last column of the lengths, then by the ones before it.

    Each column alternates (short to long, long to short, ...) while the next one grows step by
    step, so that neighbours have similar lengths in all columns.
    """
    keys: list[np.ndarray] = []
    for column in range(lengths.shape[1]):
        keys = [np.where(lengths[order, column] % 2, key, -key) for key in keys]
        keys.append(lengths[order, column])
    return order[np.lexsort(keys)]


def padding_share(lengths: np.ndarray, batches: Iterable[np.ndarray]) -> float:
    """Returns the share of padding in all batches, 0 to 1; arguments as of `training_batches`."""
    real = cells = 0
    for rows in batches:
        inside = lengths[rows]
        real += int(inside.sum())
        cells += int(inside.max(axis=0).sum()) * len(rows)
    return 1 - real / cells if cells else 0.0


def batch_dataset(
    make_batch: Callable[[np.ndarray], Any],
    batches: Sequence[np.ndarray],
    output_signature: Any,
) -> Any:
    """Returns a `tf.data.Dataset` whose elements are made in the background, in order.

    Args:
        make_batch: Turns row indices, `(rows in the batch,)`, into arrays, in any structure, that
            depend on the indices alone.
        batches: Arrays of row indices.
        output_signature: The same structure of `tf.TensorSpec`.
    """
    import tensorflow as tf

    specs = tf.nest.flatten(output_signature)

    def make(index: int) -> list[np.ndarray]:
        return tf.nest.flatten(make_batch(batches[index]))

    @tf.autograph.experimental.do_not_convert
    def batch(index: tf.Tensor) -> Any:
        # With deterministic ops, TensorFlow does not prefetch what has a state, as `from_generator`
        # has: the step would wait for each batch.
        arrays = tf.numpy_function(make, [index], [spec.dtype for spec in specs], stateful=False)
        for array, spec in zip(arrays, specs, strict=True):
            array.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(output_signature, arrays)

    return tf.data.Dataset.range(len(batches)).map(batch).prefetch(_BATCHES_AHEAD)
